"""Recent rejected records by reason and topic, with samples, read at each request.

There may be as many rejected records as events, so a worker does not follow the topic. One answer
reads the end of each partition of `rejected`, within limits of records, bytes and seconds.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.requests.replay_plan import REPLAYED, headers_of, of
from schemas.decode.batch import KafkaRecord
from schemas.records.codec import decode
from schemas.records.undecodable import REMEDIES, Undecodable
from streams.kafka.foreign_records import records_of
from streams.kafka.log import Log, Partition, ReaderOptions

__all__ = ["Rejected", "rejected"]

MOST_RECORDS = 2_000
"""Offsets of each partition that are read."""
MOST_BYTES = 64_000_000
READ_S = 5.0
_SHOWN = 200
_FETCH_BYTES = 4_000_000


@dataclass(slots=True)
class Rejected:
    """`counts` are `[records, time of the last one]` by code and topic. `complete`: whether all
    records of the topic, or all since the time that was asked for, are counted."""

    counts: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    samples: dict[str, dict[tuple[int, int], dict[str, Any]]] = field(default_factory=dict)
    complete: bool = True
    #: Code and topic of each record that is counted, for those that were sent again.
    places: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """As JSON, the largest counts first; each code's samples newest first."""
        ordered = sorted(self.counts.items(), key=lambda one: (-one[1][0], one[0]))
        return {
            "counts": [
                {
                    "code": code,
                    "topic": topic,
                    "count": count,
                    "last": last,
                    "remedy": REMEDIES.get(code),
                }
                for (code, topic), (count, last) in ordered
            ],
            "total": sum(count for count, _ in self.counts.values()),
            "samples": [
                one
                for code in sorted(self.samples)
                for one in sorted(self.samples[code].values(), key=lambda sample: -sample["time"])
            ],
            "complete": self.complete,
        }


async def rejected(kafka: Log, topic: str, since: int | None, samples: int) -> Rejected:
    """Count the last records, those since a time (UTC milliseconds) only if given; with up to
    `samples` of each code. Raises Recoverable, and Fatal if there is no such topic."""
    spans = await kafka.admin.bounds(await kafka.admin.partitions([topic]))
    starts = {one: max(first, end - MOST_RECORDS) for one, (first, end) in spans.items()}
    ends = {one: end for one, (_, end) in spans.items()}
    found = Rejected()
    cut = {one for one, start in starts.items() if start > spans[one][0]}
    size = 0
    reader = kafka.reader(starts, ReaderOptions(bytes_per_fetch=_FETCH_BYTES, name="rejected-page"))
    try:
        await reader.start()
        async with asyncio.timeout(READ_S):
            while any(reader.position(one) < end for one, end in ends.items()):
                if size > MOST_BYTES:
                    found.complete = False
                    break
                for batch in await reader.progress():
                    records = records_of(batch)
                    size += sum(len(record.value or b"") for record in records)
                    at = (batch.topic, batch.partition)
                    # a partition whose read part begins before `since` is complete
                    if since is not None and records and records[0].timestamp < since:
                        cut.discard(at)
                    _take(found, at[1], _inside(records, starts, at), since, samples)
    except TimeoutError:
        found.complete = False
    finally:
        await reader.close()
    found.complete = found.complete and not cut
    return found


def _inside(
    records: Iterable[KafkaRecord], starts: Mapping[Partition, int], at: Partition
) -> Iterable[KafkaRecord]:
    return (record for record in records if record.offset >= starts[at])


def _take(
    found: Rejected,
    partition: int,
    records: Iterable[KafkaRecord],
    since: int | None,
    samples: int,
) -> None:
    for record in records:
        headers = headers_of(record)
        if headers.get("code") == REPLAYED:
            _forget(found, (partition, of(headers) or 0))
            continue
        if since is not None and record.timestamp < since:
            continue
        code, topic = headers.get("code", ""), headers.get("topic", "")
        place = partition, record.offset
        found.places[place] = code, topic
        count = found.counts.setdefault((code, topic), [0, 0])
        count[0] += 1
        count[1] = max(count[1], record.timestamp)
        if samples:
            kept = found.samples.setdefault(code, {})
            kept[place] = _sample(record, headers)
            if len(kept) > samples:
                del kept[min(kept, key=lambda one: kept[one]["time"])]


def _forget(found: Rejected, place: tuple[int, int]) -> None:
    """Leave a record out that was sent again."""
    known = found.places.pop(place, None)
    if known is None:
        return
    code, topic = known
    found.counts[code, topic][0] -= 1
    if not found.counts[code, topic][0]:
        del found.counts[code, topic]
    found.samples.get(code, {}).pop(place, None)


def _sample(record: KafkaRecord, headers: Mapping[str, str]) -> dict[str, Any]:
    fields = _fields(record.value or b"")
    return {
        "code": headers.get("code", ""),
        "topic": headers.get("topic", ""),
        "partition": headers.get("partition", ""),
        "offset": headers.get("offset", ""),
        "detail": headers.get("detail", ""),
        "time": record.timestamp,
        "user": _named(fields.get("user_id")),
        "event_id": _named(fields.get("id")),
        "value": _text((record.value or b"")[:_SHOWN]),
        "remedy": REMEDIES.get(headers.get("code", "")),
    }


def _fields(value: bytes) -> Mapping[str, Any]:
    """The readable fields of a record."""
    try:
        found = json.loads(value) if value[:1] == b"{" else decode(value)
    except (Undecodable, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _named(value: object) -> str | None:
    return _text(value.encode(errors="replace"))[:_SHOWN] if isinstance(value, str) else None


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
