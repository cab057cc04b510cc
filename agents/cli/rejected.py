"""`emberline rejected list`: unusable records, and why they were rejected."""

import heapq
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import click

from agents.cli.group import Words
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.cli.tail import readable
from agents.terminal.say import emit_end, say
from agents.terminal.table import when
from schemas.records.undecodable import REMEDIES
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import Located, read_each
from streams.kafka.topics import Topics

__all__ = ["command"]

_HEADERS = ("topic", "partition", "offset", "code", "detail")
_SHOWN = 200
#: A rejected value has up to a megabyte; as a rule some hundred bytes.
_AT_A_TIME = 1_000


@click.group("rejected", cls=Words, help="Look at records that were rejected.")
def command() -> None:
    """Nothing by itself."""


@command.command(
    "list", help="Show rejected records: where they lie, whose they are, why, and what to do."
)
@click.option("--code", type=Word(REMEDIES), help="Only those with this reason code.")
@click.option("-n", "--last", type=click.IntRange(1), help="Only the last so many.")
@json_option
@click.pass_context
def list_rejected(ctx: click.Context, code: str | None, last: int | None, as_json: bool) -> None:
    """Topic, partition and offset are those of the original record."""
    show = emit if as_json else _show
    counts: Counter[str] = Counter()

    async def rows() -> AsyncIterator[dict[str, Any]]:
        settings = settings_of(ctx)
        topic = Topics(settings.prefix).rejected
        async for located in read_each(KafkaLog(settings), topic):
            row = _row(located)
            if code is None or row["code"] == code:
                yield row

    async def list_them() -> None:
        async for row in _last(rows(), last) if last else _in_time(rows()):
            counts[row["code"]] += 1
            show(row)

    run(list_them())
    if as_json:
        emit_end(counts.total(), counts=counts)
        return
    if not counts:
        say("none")
    for name, n in sorted(counts.items()):
        remedy = REMEDIES.get(name)
        say(f"{n:,} {name}{f': {remedy}' if remedy else ''}")


async def _last(rows: AsyncIterator[dict[str, Any]], count: int) -> AsyncIterator[dict[str, Any]]:
    """The last rows by time, in that order; no others are kept."""
    kept: list[tuple[int, int, dict[str, Any]]] = []
    number = 0
    async for row in rows:
        number += 1  # rows of one time stay in their order, and are never compared
        entry = (int(row["time"]), number, row)
        heapq.heappush(kept, entry) if len(kept) < count else heapq.heappushpop(kept, entry)
    for _, _, row in sorted(kept):
        yield row


async def _in_time(rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """All rows in the order of their times, some at a time, because the topic may be larger than
    the memory.
    """
    some: list[dict[str, Any]] = []
    async for row in rows:
        some.append(row)
        if len(some) == _AT_A_TIME:
            for each in sorted(some, key=_time):
                yield each
            some.clear()
    for each in sorted(some, key=_time):
        yield each


def _time(row: Mapping[str, Any]) -> int:
    return int(row["time"])


def _show(row: Mapping[str, Any]) -> None:
    for line in _lines(row):
        say(line)


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    """One record: position, reason, user, and the beginning of its value."""
    position = f"{row['topic']}[{row['partition']}] offset {row['offset']}"
    yield f"{when(int(row['time']))}  {row['code']}  {position}"
    whose = f"user {row['user']}" if row["user"] else f"key {row['key'] or 'none'}"
    event = f", event {row['event_id']}" if row["event_id"] else ""
    yield f"  {whose}{event}: {row['detail']}"
    value = row["value"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    yield f"  {text[:_SHOWN]}{'...' * (len(text) > _SHOWN)}"


def _row(located: Located) -> dict[str, Any]:
    """A rejected record as facts: `value` is decoded if possible, else its first bytes."""
    _, _, record = located
    headers = {name: _text(value or b"") for name, value in record.headers}
    row: dict[str, Any] = {name: headers.get(name, "") for name in _HEADERS}
    value = None if record.value is None else readable(record.value)
    fields = value if isinstance(value, dict) else {}
    return row | {
        "key": _text(record.key or b""),
        "user": _named(fields.get("user_id")),
        "event_id": _named(fields.get("id")),
        "value": value,
        "remedy": REMEDIES.get(row["code"]),
        "time": str(record.timestamp),
    }


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _named(value: object) -> str | None:
    return value[:_SHOWN] if isinstance(value, str) and value else None
