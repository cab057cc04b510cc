"""`emberline audit`: every decision and refusal, with its reason."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.table import show, when
from schemas.errors import UsageError
from schemas.words.nearest import nearest_key
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_each, records_of
from streams.kafka.topics import Topics

__all__ = ["command"]

_AT_A_TIME = 10_000
"""A table of so many rows is printed, and the next one begins: the topic is kept for ever."""


@click.command("audit", help="Show the decisions made on a source, or on all, oldest first.")
@click.argument("source", required=False)
@click.option("-n", "--last", type=click.IntRange(1), help="Only the last so many.")
@json_option
@click.pass_context
def command(ctx: click.Context, source: str | None, last: int | None, as_json: bool) -> None:
    """Entries about the whole system have no source and are shown only without SOURCE."""
    settings = settings_of(ctx)
    known: dict[str, None] = {}
    kept: deque[dict[str, Any]] = deque(maxlen=last or _AT_A_TIME)
    shown = 0

    async def read() -> None:
        nonlocal shown
        topic = Topics(settings.prefix).audit
        async for located in read_each(KafkaLog(settings), topic):
            for record in records_of([located], "audit"):
                name = record["source"]
                if source is not None and name != source:
                    known[str(name)] = None
                    continue
                if not last and len(kept) == _AT_A_TIME:
                    shown += _show(kept, as_json)
                kept.append(record)

    run(read())
    if source is not None and not kept and not shown:
        known.pop(str(None), None)
        near = nearest_key(source, known)
        hint = f"Did you mean {near}?" if near else "`emberline status` lists the sources"
        raise UsageError(f"Nothing was decided on {source[:80]!r}", remedy=hint)
    if kept or not shown:
        _show(kept, as_json)


def _show(records: deque[dict[str, Any]], as_json: bool) -> int:
    """Print these, and keep none of them; how many there were."""
    count = len(records)
    if as_json:
        for record in records:
            emit(record)
    else:
        _table(records)
    records.clear()
    return count


def _table(records: Iterable[Mapping[str, Any]]) -> None:
    show(
        ("time", "source", "decision", "from", "to", "by", "reason", "detail"),
        [
            (
                when(_number(r["time"])), r["source"], r["decision"], r["from_state"],
                r["to_state"], r["by"], r["reason"], r["detail"],
            )
            for r in records
        ],
    )  # fmt: skip


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
