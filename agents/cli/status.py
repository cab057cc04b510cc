"""`emberline status`: every source's state, due date and reason, and the worker's figures."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import click

from agents.cli.misspelt import misspelt_lines
from agents.cli.options import Word, emit, json_option, key_header, run, settings_of
from agents.cli.table import show, when
from agents.topic_reader import read_table
from schemas.lifecycle import SourceState, State
from streams.settings import Settings
from streams.topics import Topics

__all__ = ["command", "why"]

WORKER_S = 3.0


@click.command("status", help="Show every source's state, when it is due and why.")
@click.option("--state", type=Word(State), help="Only sources in this state.")
@json_option
@click.pass_context
def command(ctx: click.Context, state: str | None, as_json: bool) -> None:
    """The states as the coordinator has last written them; the worker only where it answers."""
    settings = settings_of(ctx)
    found, worker = run(_read(settings))
    counts = Counter(record.state.value for record in found)
    shown = [r for r in found if state is None or r.state == state]
    if as_json:
        records = [record.to_record() | {"why": why(record)} for record in shown]
        emit({"counts": counts, "sources": records, "worker": worker})
        return
    show(
        ("source", "name", "state", "due", "archived", "why"),
        [
            (r.source, r.name, r.state.value, when(r.due_at), r.interactions or None, why(r))
            for r in shown
        ],
    )
    click.echo()
    click.echo(", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())) or "no sources")
    click.echo(_worker_line(settings, worker))
    for line in unreadable_lines(worker or {}):
        click.echo(line)
    for line in misspelt_lines((worker or {}).get("misspelt", ())):
        click.echo(line)


async def _read(settings: Settings) -> tuple[list[SourceState], dict[str, Any] | None]:
    table, worker = await asyncio.gather(
        read_table(settings, Topics(settings.prefix).state, "state"), _worker(settings)
    )
    states = [SourceState.from_record(record) for record in table.values()]
    return sorted(states, key=lambda r: (r.state.value, r.source)), worker


async def _worker(settings: Settings) -> dict[str, Any] | None:
    """What the worker at the settings' address says of itself; None where none answers."""
    url = f"http://{settings.http_host}:{settings.http_port}/status"
    timeout = aiohttp.ClientTimeout(total=WORKER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=key_header(settings)) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            facts: dict[str, Any] = await answer.json()
            return facts if answer.status == HTTPStatus.OK else None
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


def _worker_line(settings: Settings, worker: dict[str, Any] | None) -> str:
    if worker is None:
        return f"no worker answers at {settings.http_host}:{settings.http_port}"
    shards = worker.get("shards", [])
    behind = sum(shard.get("cursor_lag", 0) for shard in shards)
    held = sum(sum(shard.get("held_back", {}).values()) for shard in shards)
    why_behind = f" ({held:,} of them behind an open transaction of a producer)" if held else ""
    ready = "ready" if worker.get("ready") else "not ready"
    return (
        f"worker {worker.get('address')}: {ready}, {len(shards)} shards, "
        f"{behind:,} events behind{why_behind}"
    )


def unreadable_lines(worker: Mapping[str, Any]) -> Iterator[str]:
    """Definitions that cannot be read."""
    found = worker.get("unreadable") or {}
    if found.get("count"):
        named = "; ".join(f"{key} ({detail})" for key, detail in found["first"].items())
        yield f"{found['count']:,} definitions cannot be read, what they name stays hot: {named}"


def why(record: SourceState) -> str:
    """The reason of a source's state, in a few words."""
    if record.stuck:
        return f"stuck: shards {', '.join(map(str, record.stuck))} have not answered"
    if record.held is not None:
        return f"held by {record.held.by}" + (f": {record.held.reason}" if record.held.reason else
                                              "")  # fmt: skip
    if record.exempt_by:
        first, *rest = record.exempt_by
        through = "".join(f" through {segment}" for segment in first.through)
        more = f" and {len(rest)} more" if rest else ""
        return f"{first.filter} of {first.root}{through}{more}"
    return record.due_because or record.message or ""
