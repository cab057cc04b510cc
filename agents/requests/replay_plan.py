"""Which rejected records are sent again to their topic, and the mark of those that were. Pure.

A mark is a record of `rejected` with the code `replayed` and no value, in the partition of the
rejected record, whose offset its header `of` has. It is written in one transaction with the record
that is sent again: so none is sent twice, whoever asks, and however often.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.decode.batch import KafkaRecord
from streams.kafka.log import Record
from streams.kafka.topics import Topics

__all__ = [
    "KEPT_BYTES",
    "REPLAYED",
    "Left",
    "ReplayFilter",
    "Replayable",
    "begin",
    "headers_of",
    "judged",
    "mark",
    "of",
    "replayable_topics",
    "topic_meant",
]

REPLAYED = "replayed"
"""The code of a mark."""
KEPT_BYTES = 900_000
"""Of key and value together, at most so many are in `rejected`: RecordLimits.max_record_bytes. That
module is not imported, because the command line would load Polars."""
_OF = "of"


class Left(StrEnum):
    """Why a rejected record is not sent again."""

    CUT = "cut"
    """`rejected` has only a part of it: its producer has to send it again."""
    BATCH = "batch"
    """A whole batch was rejected: its producer has to send its records again."""
    OTHER_TOPIC = "other_topic"
    """Its topic is no topic of events, users or definitions: commands are given again."""
    SUPERSEDED = "superseded"
    """Its topic has a later record of the same key, which counts."""
    EMPTY = "empty"
    """It has neither key nor value."""
    UNNAMED = "unnamed"
    """Its headers do not say where it comes from."""


@dataclass(frozen=True, slots=True)
class ReplayFilter:
    """The records that are wanted. No codes and no topics: all. `topics` are names without the
    prefix. Times are those of the rejection, UTC milliseconds: [since, until).
    """

    codes: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None

    def takes(self, code: str, topic: str, time_ms: int) -> bool:
        """Whether a record is wanted."""
        return (
            (not self.codes or code in self.codes)
            and (not self.topics or topic in self.topics)
            and (self.since is None or time_ms >= self.since)
            and (self.until is None or time_ms < self.until)
        )


@dataclass(frozen=True, slots=True)
class Replayable:
    """A rejected record, and where it goes. `compacted`: only the last record of a key counts
    there.
    """

    code: str
    record: Record
    offset: int
    compacted: bool


def headers_of(record: KafkaRecord) -> dict[str, str]:
    """The headers as text."""
    return {name: (value or b"").decode(errors="replace") for name, value in record.headers}


def of(headers: Mapping[str, str]) -> int | None:
    """The offset of the rejected record that a mark marks; None for other records."""
    text = headers.get(_OF, "")
    return int(text) if headers.get("code") == REPLAYED and _is_number(text) else None


def replayable_topics(topics: Topics) -> tuple[str, ...]:
    """The topics to which records are sent again, without the prefix."""
    found = (*topics.events.values(), topics.users, topics.catalog)
    return tuple(name[len(topics.prefix) :] for name in found)


def topic_meant(text: str, topics: Topics) -> str:
    """The name without the prefix, by which a filter has it."""
    return text.removeprefix(topics.prefix)


def judged(record: KafkaRecord, headers: Mapping[str, str], topics: Topics) -> Replayable | Left:
    """What can be done with a rejected record."""
    topic, partition, offset = (headers.get(name, "") for name in ("topic", "partition", "offset"))
    if not (topic and _is_number(partition) and _is_number(offset)):
        return Left.UNNAMED
    compacted = topic in (topics.users, topics.catalog)
    if not compacted and topic not in topics.events.values():
        return Left.OTHER_TOPIC
    key, value = record.key, record.value
    if key is None and headers.get("detail", "").startswith("a batch of "):
        return Left.BATCH
    if key is None and value is None:
        return Left.EMPTY
    if len(key or b"") + len(value or b"") >= KEPT_BYTES:
        return Left.CUT
    code = headers.get("code", "")
    return Replayable(code, Record(topic, key, value, int(partition)), int(offset), compacted)


def mark(topics: Topics, partition: int, record: KafkaRecord, headers: Mapping[str, str]) -> Record:
    """The mark of a rejected record that is sent again."""
    named = [(name, headers.get(name, "").encode()) for name in ("topic", "partition", "offset")]
    detail = f"sent again, rejected as {headers.get('code', '')}"
    more = [("code", REPLAYED.encode()), ("detail", detail.encode())]
    made = (*named, *more, (_OF, str(record.offset).encode()))
    return Record(topics.rejected, record.key or b"", None, partition, made)


def begin(topics: Topics, partition: int) -> Record:
    """The record that a replay writes first: everything before it is readable with it."""
    headers = (("code", REPLAYED.encode()), ("detail", b"a replay begins"))
    return Record(topics.rejected, b"", None, partition, headers)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
