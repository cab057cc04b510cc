"""`emberline explain`: why a source is hot, and what would change that."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from agents.cli.calling import KEY_NEEDED, asked, segment
from agents.cli.completing import SOURCE
from agents.cli.options import emit, json_option, run, settings_of
from agents.coordinator.rules.as_if import AsIf
from agents.coordinator.rules.wording import KEEPS_HOT
from agents.terminal.table import prose
from schemas.errors import UsageError
from streams.settings import Settings

__all__ = ["called", "command", "links_lines"]


@click.command(
    "explain",
    help=f"Say why SOURCE is hot, through what, what would change it, and when. {KEEPS_HOT}",
)
@click.argument("names", nargs=-1, required=True, type=SOURCE, metavar="SOURCE | --lint FILE...")
@click.option(
    "--as-if-stopped", multiple=True, metavar="KEY", help="As if this definition stopped."
)
@click.option(
    "--as-if-without",
    multiple=True,
    metavar="KEY[@PATH]",
    help="As if this definition had no filter, or not that part of it.",
)
@click.option(
    "--lint",
    "linting",
    is_flag=True,
    help="Check definitions in files (JSON lines or an array); exit 1 where one rests on "
    "expired or legacy-deleted data, or its filter would be refused for something else.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    as_if_stopped: tuple[str, ...],
    as_if_without: tuple[str, ...],
    linting: bool,
    as_json: bool,
) -> None:
    """A source as a running worker tells it, files by what the coordinator has written last;
    nothing is touched."""
    as_if = AsIf(as_if_stopped, as_if_without)
    if linting:
        if as_if:
            raise UsageError("--lint takes no --as-if-..", remedy="Leave that option out")
        # here, as it loads the filter language, and explaining needs nothing of it
        from agents.cli.lint import check

        check(ctx, [Path(name) for name in names], as_json)
    elif len(names) > 1:
        raise UsageError("One source is explained at a time", remedy="Name one")
    else:
        _explain(ctx, names[0], as_if, as_json)


def _explain(ctx: click.Context, source: str, as_if: AsIf, as_json: bool) -> None:
    # The worker's retention decides, which may differ from the caller's setting.
    facts = run(_explained(settings_of(ctx), source, as_if))
    if as_json:
        emit(facts)
        return
    names = facts["names"]
    prose(
        f"{called(facts['source'], names)} is {facts['state']}: {called(facts['summary'], names)}"
    )
    for line in links_lines(facts["reasons"], names):
        prose(line, "  ")
    for change in facts["changes"]:
        if change["summary"] not in facts["summary"]:
            prose(called(change["summary"], names), "  ")
    if facts["as_if"]:
        prose(f"as if: {called(facts['as_if']['summary'], names)}", "  ")


def links_lines(reasons: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    """The uses, each once: chains of segments often share parts."""
    lines = (
        f"{called(link['definition'], names)} uses {called(link['target'], names)} "
        f"at {link['path']} ({link['filter']})"
        for reason in reasons
        for link in reason["links"]
    )
    return list(dict.fromkeys(lines))


def called(text: str, names: Mapping[str, str]) -> str:
    """The text with the name behind each key in it: `campaign:spring "Spring"`. In a command that
    is to be copied the key stays alone.
    """
    known = {key: name for key, name in names.items() if name and name != key}
    if not known:
        return text
    longest = sorted(known, key=len, reverse=True)
    keys = re.compile(rf"`[^`]*`|(?<![\w:])(?:{'|'.join(map(re.escape, longest))})(?![\w:])")
    return keys.sub(
        lambda found: f'{found[0]} "{known[found[0]]}"' if found[0] in known else found[0], text
    )


async def _explained(settings: Settings, source: str, as_if: AsIf) -> dict[str, Any]:
    given = [("as_if_stopped", key) for key in as_if.stopped]
    given += [("as_if_without", key) for key in as_if.without]
    path = f"/sources/{segment(source, KEY_NEEDED)}/explain"
    return await asked(settings, "GET", f"{path}?{urlencode(given)}" if given else path)
