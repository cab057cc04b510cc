"""Records on their way to the shard of their user, through the topic `repartition`.

The value is the original one and the key the user's id. Headers say what the record had where
its producer wrote it, all as text but for the key:

    topic, partition, offset    its place
    stamp                       its timestamp in milliseconds; the topic itself keeps the
                                broker's time, so that nothing is deleted for being old
    key                         its key; absent where it had none

A record of an earlier release has the header `topic` alone, and its own key and timestamp are
the original ones.
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
    """Where a producer's record lies."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Records of one topic for the shard `target`, all with a key or all without one.

    So the shard that gets them finds batches of one shape. `users` has the user of each.
    """

    topic: str
    partition: int
    target: int
    records: list[KafkaRecord] = field(default_factory=list)
    users: list[str] = field(default_factory=list)

    def add(self, record: KafkaRecord, user: str) -> None:
        """One more."""
        self.records.append(record)
        self.users.append(user)

    @property
    def headers(self) -> Headers:
        """What all of them have first."""
        return ((TOPIC, self.topic.encode()), (PARTITION, b"%d" % self.partition))

    def own_headers(self) -> list[Headers]:
        """What each has besides."""
        return [_own(record) for record in self.records]

    def keyed(self) -> Sequence[tuple[bytes, bytes | None]]:
        """Key and value of each, as they are written."""
        pairs = zip(self.users, self.records, strict=True)
        return [(user.encode(), record.value) for user, record in pairs]


def topic_of(record: KafkaRecord) -> str:
    """The name of the topic that a forwarded record came from; empty where it does not say."""
    return (_header(record, TOPIC) or b"").decode(errors="replace")


def place_of(record: KafkaRecord) -> RecordPosition | None:
    """Where a forwarded record came from; None where it does not say all of it."""
    partition, offset = _number(record, PARTITION), _number(record, OFFSET)
    if partition is None or offset is None or not topic_of(record):
        return None
    return RecordPosition(topic_of(record), partition, offset)


def restored(record: KafkaRecord) -> KafkaRecord:
    """A forwarded record with the key and the timestamp that it had, and its headers."""
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
    """A header that is a decimal number of 64 bits, written in the one way there is."""
    text = _header(record, name)
    if text is None or len(text) > 20 or not text.lstrip(b"-").isdigit():
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    return number if b"%d" % number == text and -(1 << 63) <= number < 1 << 63 else None
