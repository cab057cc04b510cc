"""`emberline rejected`: unusable records, why they were rejected, and sending them again."""

import heapq
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from agents.cli.group import Words
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.cli.tail import readable
from agents.requests.replay import Replayed, replay, replayed_offsets
from agents.requests.replay_plan import (
    REPLAYED,
    Left,
    ReplayFilter,
    replayable_topics,
    topic_meant,
)
from agents.terminal.progress import LiveLine
from agents.terminal.say import emit_end, say
from agents.terminal.table import when
from schemas.errors import UsageError
from schemas.records.undecodable import REMEDIES
from schemas.words.nearest import hint
from schemas.words.plural import counted
from streams.clock import SystemClock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import Located, read_each
from streams.kafka.topics import Topics
from streams.period import milliseconds, parse
from streams.settings import Settings

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
        topics, kafka = Topics(settings.prefix), KafkaLog(settings)
        again = await replayed_offsets(kafka, topics)
        async for located in read_each(kafka, topics.rejected):
            row = _row(located)
            sent = located[2].offset in again.get((topics.rejected, located[1]), ())
            if row["code"] != REPLAYED and (code is None or row["code"] == code):
                yield row | {"replayed": sent}

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


@command.command(
    "replay",
    help="Send rejected records again to their topic, after you have mended the cause: each once, "
    "also if this command is ended and repeated.",
)
@click.option(
    "--code", "codes", type=Word(REMEDIES), multiple=True, help="Only those with this reason code."
)
@click.option(
    "--topic",
    "names",
    multiple=True,
    metavar="TOPIC",
    help="Only those of this topic, for example interactions.send.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only those rejected from this time on: "
    "2026-11-27T10:00 (UTC), or a period before now, such as PT2H.",
)
@click.option("--until", metavar="TIME", help="Only those rejected before this time.")
@click.option("--dry-run", is_flag=True, help="Count them, and send nothing.")
@json_option
@click.pass_context
def replay_rejected(
    ctx: click.Context,
    codes: tuple[str, ...],
    names: tuple[str, ...],
    since: str | None,
    until: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Exits with 1 if wanted records could not be sent again: what is left says why."""
    settings = settings_of(ctx)
    topics = Topics(settings.prefix)
    wanted = ReplayFilter(
        frozenset(codes),
        frozenset(_topic(name, topics) for name in names),
        _moment("--since", since),
        _moment("--until", until),
    )
    done = run(_replay(settings, wanted, dry_run, as_json))
    if as_json:
        emit(done.facts(dry_run=dry_run))
    else:
        for line in _replay_lines(done, dry_run):
            say(line)
    ctx.exit(1 if done.left.total() - done.left[Left.SUPERSEDED] else 0)


async def _replay(
    settings: Settings, wanted: ReplayFilter, dry_run: bool, as_json: bool
) -> Replayed:
    kafka, topics = KafkaLog(settings), Topics(settings.prefix)
    with LiveLine("Replay", "records", quiet=as_json) as live:
        return await replay(kafka, topics, wanted, dry_run=dry_run, progress=live.show)


_WHY_LEFT = {
    Left.CUT: "only a part of each is kept: their producer has to send them again",
    Left.BATCH: "whole batches: their producer has to send them again",
    Left.OTHER_TOPIC: "no events, users or definitions: give commands again",
    Left.SUPERSEDED: "their topic has a later record of the same key",
    Left.EMPTY: "they have neither key nor value",
    Left.UNNAMED: "their headers do not say where they come from",
}


def _replay_lines(done: Replayed, dry_run: bool) -> Iterator[str]:
    """What was sent, and what was not, with the reasons."""
    for (code, topic), count in sorted(done.sent.items()):
        yield f"{count:,} {code} of {topic}"
    would = "would be sent again" if dry_run else "sent again"
    yield f"{counted(done.sent.total(), 'record')} {would}"
    if done.before:
        yield f"{counted(done.before, 'record')} sent again before"
    for reason, count in sorted(done.left.items()):
        yield f"{counted(count, 'record')} left: {_WHY_LEFT[reason]}"


def _topic(name: str, topics: Topics) -> str:
    """A topic without the prefix. Raises UsageError for one that has no replay."""
    short = topic_meant(name, topics)
    known = replayable_topics(topics)
    if short not in known:
        raise UsageError(
            f"{name!r} is no topic of events, users or definitions. {hint(short, known)}",
            remedy="Leave --topic out for all",
        )
    return short


def _moment(option: str, text: str | None) -> int | None:
    """UTC milliseconds of a time, or of a period before now. Raises UsageError."""
    if text is None:
        return None
    try:
        if text.startswith("P"):
            return SystemClock().now_ms() - milliseconds(parse(text))
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, UsageError) as error:
        raise UsageError(
            f"{option}: {text!r} is no time",
            remedy="Write 2026-11-27T10:00 (UTC), or a period before now, such as PT2H",
        ) from error


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
    again = "  (sent again)" if row["replayed"] else ""
    yield f"{when(int(row['time']))}  {row['code']}  {position}{again}"
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
