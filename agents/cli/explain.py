"""`emberline explain`: why a source is hot, and what would change that."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from agents.cli.calling import asked
from agents.cli.completing import SOURCE
from agents.cli.options import emit, json_option, run, settings_of
from agents.coordinator.rules.as_if import AsIf
from agents.coordinator.rules.wording import KEEPS_HOT
from agents.terminal.say import say
from schemas.errors import UsageError
from streams.settings import Settings

__all__ = ["command", "links_lines"]


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
    say(f"{source} is {facts['state']}: {facts['summary']}")
    for line in links_lines(facts["reasons"]):
        say(line)
    for change in facts["changes"]:
        if change["summary"] not in facts["summary"]:
            say(f"  {change['summary']}")
    if facts["as_if"]:
        say(f"  as if: {facts['as_if']['summary']}")


def links_lines(reasons: Iterable[Mapping[str, Any]]) -> list[str]:
    """The uses, each once: chains of segments often share parts."""
    lines = (
        f"  {link['definition']} uses {link['target']} at {link['path']} ({link['filter']})"
        for reason in reasons
        for link in reason["links"]
    )
    return list(dict.fromkeys(lines))


async def _explained(settings: Settings, source: str, as_if: AsIf) -> dict[str, Any]:
    given = [("as_if_stopped", key) for key in as_if.stopped]
    given += [("as_if_without", key) for key in as_if.without]
    path = f"/sources/{quote(source, safe='')}/explain"
    return await asked(settings, "GET", f"{path}?{urlencode(given)}" if given else path)
