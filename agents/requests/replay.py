"""Sends rejected records again to their topic, each once, after their cause has been mended.

The record and its mark are one transaction, and a replay fences an earlier one that still runs. So
a replay may be ended at any moment and repeated: it continues.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.requests.replay_plan import (
    REPLAYED,
    Left,
    Replayable,
    ReplayFilter,
    begin,
    headers_of,
    judged,
    mark,
    of,
)
from schemas.decode.batch import KafkaRecord
from streams.kafka.foreign_records import records_of
from streams.kafka.log import Log, LogWriter, Partition, ReaderOptions, Record
from streams.kafka.topics import Topics

__all__ = ["Replayed", "replay", "replayed_offsets"]

_AT_ONCE = 500
_BYTES_AT_ONCE = 4_000_000

Wanted = dict[Partition, set[int]]
"""Offsets of `rejected`, by partition."""


@dataclass(slots=True)
class Replayed:
    """How many were sent again by (code, topic); `left` counts those that were not, by the reason;
    `before` counts those that were sent again by an earlier replay. `more`: whether wanted records
    are left because only so many were asked for.
    """

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: Counter[Left] = field(default_factory=Counter)
    before: int = 0
    more: bool = False

    def facts(self, *, dry_run: bool) -> dict[str, Any]:
        """As JSON, the largest counts first."""
        ordered = sorted(self.sent.items(), key=lambda one: (-one[1], one[0]))
        return {
            "dry_run": dry_run,
            "replayed": self.sent.total(),
            "counts": [
                {"code": code, "topic": topic, "count": count} for (code, topic), count in ordered
            ],
            "left": {reason.value: count for reason, count in sorted(self.left.items())},
            "before": self.before,
            "more": self.more,
        }


async def replay(
    kafka: Log,
    topics: Topics,
    wanted: ReplayFilter,
    *,
    dry_run: bool = False,
    most: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replayed:
    """Send the wanted records again, at most `most`; with `dry_run` only count them.

    `progress` gets the records done and those that are to be done. Raises `Recoverable`; `Fenced`
    if another replay has begun.
    """
    found = Replayed()
    places = await kafka.admin.partitions([topics.rejected])
    if dry_run:
        ends = {one: end for one, (_, end) in (await kafka.admin.bounds(places)).items()}
        await _each(kafka, topics, wanted, found, ends, most)
        return found
    writer = kafka.writer(f"{topics.prefix}rejected-replay")
    try:
        await writer.start()
        offsets = await writer.commit([begin(topics, number) for _, number in places])
        ends = dict(zip(places, offsets, strict=True))
        chosen = await _each(kafka, topics, wanted, found, ends, most)
        found.sent.clear()
        await _send(kafka, writer, topics, chosen, found, progress)
    finally:
        await writer.close()
    return found


async def replayed_offsets(kafka: Log, topics: Topics) -> Wanted:
    """The offsets of the rejected records that were sent again."""
    places = await kafka.admin.partitions([topics.rejected])
    ends = {one: end for one, (_, end) in (await kafka.admin.bounds(places)).items()}
    return await _marked(kafka, ends)


async def _each(
    kafka: Log,
    topics: Topics,
    wanted: ReplayFilter,
    found: Replayed,
    ends: Mapping[Partition, int],
    most: int | None,
) -> Wanted:
    """Choose the records, and count them; no values are kept."""
    marked = await _marked(kafka, ends)
    newest = await _newest(kafka, topics, wanted, marked, ends)
    chosen: Wanted = {one: set() for one in ends}
    prefix = len(topics.prefix)
    async for place, record in _records(kafka, ends):
        headers = headers_of(record)
        topic = headers.get("topic", "")
        if _is_mark(headers) or not wanted.takes(
            headers.get("code", ""), topic[prefix:], record.timestamp
        ):
            continue
        if record.offset in marked[place]:
            found.before += 1
            continue
        one = judged(record, headers, topics)
        if isinstance(one, Replayable) and _superseded(one, newest):
            one = Left.SUPERSEDED
        if isinstance(one, Left):
            found.left[one] += 1
        elif most is not None and found.sent.total() >= most:
            found.more = True
        else:
            found.sent[one.code, topic] += 1
            chosen[place].add(record.offset)
    return chosen


def _superseded(one: Replayable, newest: Mapping[tuple[str, bytes | None], int]) -> bool:
    return one.compacted and newest.get((one.record.topic, one.record.key), -1) > one.offset


async def _newest(
    kafka: Log,
    topics: Topics,
    wanted: ReplayFilter,
    marked: Wanted,
    ends: Mapping[Partition, int],
) -> dict[tuple[str, bytes | None], int]:
    """The last offset of each key that has a wanted record, in the topics of which only the last
    record of a key counts.
    """
    first: dict[Partition, int] = {}
    newest: dict[tuple[str, bytes | None], int] = {}
    prefix = len(topics.prefix)
    async for place, record in _records(kafka, ends):
        headers = headers_of(record)
        one = None if _is_mark(headers) else judged(record, headers, topics)
        if not isinstance(one, Replayable) or not one.compacted:
            continue
        if record.offset in marked[place] or not wanted.takes(
            one.code, one.record.topic[prefix:], record.timestamp
        ):
            continue
        at = (one.record.topic, one.record.partition)
        first[at] = min(first.get(at, one.offset), one.offset)
        newest[one.record.topic, one.record.key] = -1
    if not first:
        return {}
    spans = await kafka.admin.bounds(list(first))
    until = {one: end for one, (_, end) in spans.items()}
    # a topic that was made anew may end before the offset that the rejected record had
    starts = {one: min(max(first[one], start), end) for one, (start, end) in spans.items()}
    async for (topic, _), record in _records(kafka, until, starts):
        if (topic, record.key) in newest:
            newest[topic, record.key] = max(newest[topic, record.key], record.offset)
    return newest


async def _send(
    kafka: Log,
    writer: LogWriter,
    topics: Topics,
    chosen: Wanted,
    found: Replayed,
    progress: Callable[[int, int], None],
) -> None:
    total = sum(map(len, chosen.values()))
    ends = {place: max(offsets) + 1 for place, offsets in chosen.items() if offsets}
    starts = {place: min(chosen[place]) for place in ends}
    records: list[Record] = []
    sent: Counter[tuple[str, str]] = Counter()
    size = 0
    progress(0, total)

    async def flush() -> None:
        nonlocal size
        if records:
            await writer.commit(records)
            found.sent.update(sent)
            records.clear()
            sent.clear()
            size = 0
            progress(found.sent.total(), total)

    async for place, record in _records(kafka, ends, starts):
        if record.offset not in chosen[place]:
            continue
        headers = headers_of(record)
        one = judged(record, headers, topics)
        if not isinstance(one, Replayable):
            raise AssertionError("it was judged before")
        records += [one.record, mark(topics, place[1], record, headers)]
        sent[one.code, one.record.topic] += 1
        size += len(record.key or b"") + len(record.value or b"")
        if len(records) >= 2 * _AT_ONCE or size >= _BYTES_AT_ONCE:
            await flush()
    await flush()


async def _marked(kafka: Log, ends: Mapping[Partition, int]) -> Wanted:
    found: Wanted = {one: set() for one in ends}
    async for place, record in _records(kafka, ends):
        offset = of(headers_of(record))
        if offset is not None:
            found[place].add(offset)
    return found


def _is_mark(headers: Mapping[str, str]) -> bool:
    return headers.get("code") == REPLAYED


async def _records(
    kafka: Log, ends: Mapping[Partition, int], starts: Mapping[Partition, int] | None = None
) -> AsyncIterator[tuple[Partition, KafkaRecord]]:
    """The records below these ends, from their logs' beginnings or from `starts` on, one by one."""
    if not ends:
        return
    if starts is None:
        starts = {one: first for one, (first, _) in (await kafka.admin.bounds(list(ends))).items()}
    reader = kafka.reader(starts, ReaderOptions(name="replay"))
    await reader.start()
    try:
        while any(reader.position(one) < end for one, end in ends.items()):
            for batch in await reader.progress():
                place = (batch.topic, batch.partition)
                for record in records_of(batch):
                    if starts[place] <= record.offset < ends[place]:
                        yield place, record
    finally:
        await reader.close()
