"""`emberline explain --lint`: definitions in files, checked before they go live."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from agents.audience.live_plan_facts import LivePlanFacts
from agents.cli.options import emit, run, settings_of
from agents.coordinator.rules.lint import lint
from agents.terminal.say import say
from agents.views import catalog_view
from agents.views.catalog_view import CatalogEntry, CatalogView
from agents.views.state_view import StateView
from schemas.errors import UsageError
from schemas.records import strict_json
from streams.clock import SystemClock
from streams.kafka.environment import Environment
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["check", "definitions"]


def check(ctx: click.Context, files: list[Path], as_json: bool) -> None:
    """Print the faults of definitions in files; exit code 1 if there are any."""
    given = [(file, entry) for file in files for entry in definitions(file)]
    catalog, states = run(_read(settings_of(ctx)))
    # definitions that come together are judged together
    for _, entry in given:
        catalog.put(entry)
    known = {entry.definition.key: entry.definition for entry in catalog}
    plan_facts, now_ms = LivePlanFacts(states, catalog), SystemClock().now_ms()
    found = [
        (file, finding)
        for file, entry in given
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
        emit({"definitions": len(given), "findings": facts})
    else:
        for file, finding in found:
            say(f"{file}: {finding}")
    ctx.exit(1 if found else 0)


async def _read(settings: Settings) -> tuple[CatalogView, StateView]:
    """The sources and definitions, as a worker has them after it has read everything."""
    environment, topics = Environment.of(settings), Topics(settings.prefix)
    catalog, records = await asyncio.gather(
        catalog_view.read(environment),
        read_all(environment.kafka, topics.state),
    )
    states = StateView()
    for _, _, record in records:
        states.apply(record.key, record.value)
    return catalog, states


def definitions(file: Path) -> list[CatalogEntry]:
    """The definitions in a file: JSON lines, or one array. Raises UsageError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", remedy="Name a file of JSON") from error
    found = [_definition(where, record) for where, record in _records(file, text)]
    if not found:
        # A check that checks nothing must not look like one that was passed.
        raise UsageError(f"{file}: it has no definition", remedy="Write one on each line")
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
        return strict_json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON: {error}", remedy="Write one on each line") from error


def _definition(where: str, record: Any) -> CatalogEntry:
    try:
        filters = record.get("filters")
        if filters is not None and not isinstance(filters, str):
            record = {**record, "filters": json.dumps(filters)}
        return CatalogEntry.from_record(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: not a definition: {error!r}",
            remedy="Give it a key and a status, as on the topic catalog",
        ) from error
