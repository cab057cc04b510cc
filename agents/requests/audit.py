"""A page of `lifecycle.audit`, read from the topic: forwards, or backwards in growing spans.

The audit is kept for ever, so none of it is held in memory, and one page reads a limited part.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from schemas.decode.batch_records import KafkaRecord
from schemas.errors import Recoverable
from schemas.records import codec
from schemas.records.undecodable import Undecodable
from streams.kafka.foreign_records import pass_over, records_of
from streams.kafka.log import Log, LogReader, Partition, ReaderOptions

__all__ = ["AuditFilter", "AuditPage", "newest", "oldest"]

MOST_RECORDS = 20_000
"""Offsets that one page reads."""
MOST_BYTES = 32_000_000
"""Bytes of records that one page reads, except for its first span."""
DEADLINE_S = 20.0
_SPAN = 1_000
_FETCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The entries that a page has; None: any. Times are UTC milliseconds, `until` is exclusive."""

    source: str | None = None
    request: str | None = None
    actor: str | None = None
    decision: str | None = None
    since: int | None = None
    until: int | None = None

    def takes(self, entry: dict[str, Any]) -> bool:
        """Whether an entry matches."""
        at = entry["time"]
        return (
            self.source in (None, entry["source"])
            and self.request in (None, entry["request_id"])
            and self.actor in (None, entry["by"])
            and self.decision in (None, entry["decision"])
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, each with its `offset`. `next`: the cursor of the following page, None at the end of
    the topic. `end`: the end of the topic, from which newer entries can be read."""

    entries: list[dict[str, Any]]
    next: int | None
    end: int


async def newest(
    kafka: Log, partition: Partition, asked: AuditFilter, limit: int, below: int | None
) -> AuditPage:
    """The last entries below an offset, the newest first. Raises Recoverable."""
    first, end = (await kafka.admin.bounds([partition]))[partition]
    at = end if below is None else min(below, end)
    floor, span, size = max(first, at - MOST_RECORDS), _SPAN, 0
    found: list[dict[str, Any]] = []
    async with _reading(kafka, partition, at) as reader:
        while at > floor and len(found) <= limit and size <= MOST_BYTES:
            start = max(floor, at - span)
            reader.seek(partition, start)
            records = await _until(reader, partition, start, at)
            size += sum(len(record.value or b"") for record in records)
            found += reversed(await asyncio.to_thread(_entries, partition, records, asked))
            at, span = start, span * 2
            if asked.since is not None and _all_before(records, asked.since):
                at = floor = first
    if len(found) > limit:
        return AuditPage(found[:limit], found[limit - 1]["offset"], end)
    return AuditPage(found, at if at > first else None, end)


async def oldest(
    kafka: Log, partition: Partition, asked: AuditFilter, limit: int, start: int | None
) -> AuditPage:
    """The first entries from an offset on, the oldest first. Raises Recoverable."""
    first, end = (await kafka.admin.bounds([partition]))[partition]
    at = first if start is None else max(first, start)
    stop, size = min(end, at + MOST_RECORDS), 0
    found: list[dict[str, Any]] = []
    async with _reading(kafka, partition, at) as reader:
        while at < stop and len(found) <= limit and size <= MOST_BYTES:
            records = await _until(reader, partition, at, min(stop, at + _SPAN))
            size += sum(len(record.value or b"") for record in records)
            found += await asyncio.to_thread(_entries, partition, records, asked)
            at = min(stop, at + _SPAN)
    if len(found) > limit:
        return AuditPage(found[:limit], found[limit - 1]["offset"] + 1, end)
    return AuditPage(found, at if at < end else None, end)


@asynccontextmanager
async def _reading(kafka: Log, partition: Partition, at: int) -> AsyncIterator[LogReader]:
    """A reader that has started, for a limited time."""
    options = ReaderOptions(bytes_per_fetch=_FETCH_BYTES, name="audit-page")
    reader = kafka.reader({partition: at}, options)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await reader.start()
            yield reader
    except TimeoutError as error:
        raise Recoverable(f"The audit was not read within {DEADLINE_S:.0f} s") from error
    finally:
        await reader.close()


async def _until(
    reader: LogReader, partition: Partition, start: int, end: int
) -> list[KafkaRecord]:
    """The records in `[start, end)`; what a batch has besides is read again with its own span."""
    found: list[KafkaRecord] = []
    while reader.position(partition) < end:
        for batch in await reader.progress():
            found += (one for one in records_of(batch) if start <= one.offset < end)
    if reader.position(partition) > end:
        reader.seek(partition, end)
    return found


def _entries(
    partition: Partition, records: Iterable[KafkaRecord], asked: AuditFilter
) -> list[dict[str, Any]]:
    key = None if asked.source is None else asked.source.encode()
    found = []
    for record in records:
        if key is not None and record.key != key:
            continue
        try:
            entry = codec.decode(record.value or b"", "audit")
        except Undecodable as error:
            pass_over(*partition, record.offset, str(error))
            continue
        if asked.takes(entry):
            found.append({"offset": record.offset, **entry})
    return found


def _all_before(records: Iterable[KafkaRecord], since: int) -> bool:
    """Whether all records were appended before a time; then the records before them were too."""
    stamps = [record.timestamp for record in records]
    return bool(stamps) and max(stamps) < since
