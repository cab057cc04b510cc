"""`emberline explain`: why a source is hot, what would change it; and definitions checked."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from agents.audience.live_plan_facts import LivePlanFacts
from agents.cli.calling import asked
from agents.cli.options import emit, json_option, run, settings_of
from agents.coordinator.rules.as_if import AsIf
from agents.coordinator.rules.lint import lint
from agents.coordinator.rules.wording import KEEPS_HOT
from agents.terminal.say import say
from agents.views import catalog_view
from agents.views.catalog_view import CatalogView, Entry
from agents.views.state_view import StateView
from schemas.errors import UsageError
from streams.clock import SystemClock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["command", "definitions", "links_lines"]


@click.command(
    "explain",
    help=f"Say why SOURCE is hot, through what, what would change it, and when. {KEEPS_HOT}",
)
@click.argument("names", nargs=-1, required=True, metavar="SOURCE | --lint FILE...")
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
            raise UsageError("--lint checks files as they are", remedy="Leave --as-if-.. out")
        _lint(ctx, [Path(name) for name in names], as_json)
    elif len(names) > 1:
        raise UsageError("One source is explained at a time", remedy="Name one")
    else:
        _explain(ctx, names[0], as_if, as_json)


def _explain(ctx: click.Context, source: str, as_if: AsIf, as_json: bool) -> None:
    # The worker's retention decides, which may not be that of who asks.
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


def _lint(ctx: click.Context, files: list[Path], as_json: bool) -> None:
    told = [(file, entry) for file in files for entry in definitions(file)]
    catalog, states = run(_read(settings_of(ctx)))
    # definitions that come together are judged together
    for _, entry in told:
        catalog.put(entry)
    known = {entry.definition.key: entry.definition for entry in catalog}
    plan_facts, now_ms = LivePlanFacts(states, catalog), SystemClock().now_ms()
    found = [
        (file, finding)
        for file, entry in told
        for finding in lint(entry.definition, known, plan_facts, now_ms)
    ]
    if as_json:
        facts = [
            {
                "file": str(file),
                "key": finding.key,
                "path": finding.path,
                "source": finding.source,
                "what": finding.what,
                "through": list(finding.through),
            }
            for file, finding in found
        ]
        emit({"definitions": len(told), "findings": facts})
    else:
        for file, finding in found:
            say(f"{file}: {finding}")
    ctx.exit(1 if found else 0)


def links_lines(reasons: Iterable[Mapping[str, Any]]) -> list[str]:
    """Who uses what, each once: chains of segments have much in common."""
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


async def _read(settings: Settings) -> tuple[CatalogView, StateView]:
    """As a worker has them that has read everything."""
    topics = Topics(settings.prefix)
    catalog, records = await asyncio.gather(
        catalog_view.read(settings, KafkaLog(settings), SystemClock().now_ms()),
        read_all(KafkaLog(settings), topics.state),
    )
    states = StateView()
    for _, _, record in records:
        states.apply(record.key, record.value)
    return catalog, states


def definitions(file: Path) -> list[Entry]:
    """The definitions in a file: JSON lines, or one array. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", remedy="Name a file of JSON") from error
    found = [_definition(where, record) for where, record in _records(file, text)]
    if not found:
        # A check that checks nothing must not look like one that was passed.
        raise UsageError(f"{file}: no definition in it", remedy="One definition a line")
    return found


def _records(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        for at, record in enumerate(_json(str(file), text)):
            yield f"{file}[{at}]", record
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{file}:{number}", _json(f"{file}:{number}", line)


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON: {error}", remedy="One definition a line") from error


def _definition(where: str, record: Any) -> Entry:
    try:
        filters = record.get("filters")
        if filters is not None and not isinstance(filters, str):
            record = {**record, "filters": json.dumps(filters)}
        return Entry.from_record(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: not a definition: {error!r}",
            remedy="Give it a key and a status, as on the topic catalog",
        ) from error
