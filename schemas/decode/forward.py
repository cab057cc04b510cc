"""Records in the topic `repartition`, on their way to the shard of their user.

The value is the original value and the key is the user's id. Headers describe the producer's
record, as text except for the key:

    topic, partition, offset    its position
    stamp                       its timestamp in milliseconds; the topic itself keeps the
                                broker's time, so that no record is deleted because it is old
    key                         its key; absent if it had none

A record of an earlier release has only the header `topic`, and its own key and timestamp are the
original ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.decode.batch_records import KafkaRecord

__all__ = [
    "KEY",
    "LAYOUTS",
    "TOPIC",
    "Forward",
    "RecordPosition",
    "place_of",
    "restored",
    "topic_of",
]

TOPIC, PARTITION, OFFSET, STAMP, KEY = "topic", "partition", "offset", "stamp", "key"

LAYOUTS = (
    (TOPIC, PARTITION, OFFSET, STAMP, KEY),
    (TOPIC, PARTITION, OFFSET, STAMP),
    (TOPIC,),
)
"""The names of a record's headers, in order; the last is that of earlier releases."""

Headers = tuple[tuple[str, bytes], ...]


class RecordPosition(NamedTuple):
    """The position of a producer's record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Records of one topic for the shard `target`. Either all of them have a key, or none has.

    So the target shard gets batches of one shape. `users` has the user of each record.
    """

    topic: str
    partition: int
    target: int
    records: list[KafkaRecord] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    def add(self, record: KafkaRecord, user: str) -> None:
        """Add one record."""
        self.records.append(record)
        self.users.append(user)

    @property
    def headers(self) -> Headers:
        """The headers that all records have first."""
        return ((TOPIC, self.topic.encode()), (PARTITION, b"%d" % self.partition))

    def own_headers(self) -> list[Headers]:
        """The additional headers of each record."""
        return [_own(record) for record in self.records]

    def keyed(self) -> Sequence[tuple[bytes, bytes | None]]:
        """Key and value of each record, as they are written."""
        pairs = zip(self.users, self.records, strict=True)
        return [(user.encode(), record.value) for user, record in pairs]


def topic_of(record: KafkaRecord) -> str:
    """The name of the topic that a forwarded record came from; empty if no header names it."""
    return (_header(record, TOPIC) or b"").decode(errors="replace")


def place_of(record: KafkaRecord) -> RecordPosition | None:
    """The position of the record that was forwarded; None if the headers are incomplete."""
    partition, offset = _number(record, PARTITION), _number(record, OFFSET)
    if partition is None or offset is None or not topic_of(record):
        return None
    return RecordPosition(topic_of(record), partition, offset)


def restored(record: KafkaRecord) -> KafkaRecord:
    """A forwarded record with its original key and timestamp, and its headers."""
    stamp = _number(record, STAMP)
    if stamp is None:
        return record
    return record._replace(timestamp=stamp, key=_header(record, KEY))


def _own(record: KafkaRecord) -> Headers:
    place = ((OFFSET, b"%d" % record.offset), (STAMP, b"%d" % record.timestamp))
    return place if record.key is None else (*place, (KEY, record.key))


def _header(record: KafkaRecord, name: str) -> bytes | None:
    return next((value for key, value in record.headers if key == name), None)


def _number(record: KafkaRecord, name: str) -> int | None:
    """The value of a header that is a decimal number of 64 bits in canonical form."""
    text = _header(record, name)
    if text is None or len(text) > 20 or not text.lstrip(b"-").isdigit():
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    return number if b"%d" % number == text and -(1 << 63) <= number < 1 << 63 else None
