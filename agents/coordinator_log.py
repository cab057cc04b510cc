"""The `coordinator` topic: whose turn it is, how far the inputs were read, what is known.

Read back to our own owner record after fencing: then nothing of a former owner is missing
and nothing of it can follow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.rules import ledger
from agents.rules.world import World
from agents.strangers import own_key, pass_over
from schemas.batch import KafkaRecord, RawBatch, unpack
from schemas.errors import Fatal
from streams.fetch import Fetcher
from streams.settings import Settings
from streams.step import Record
from streams.topics import Topics

__all__ = [
    "CURSOR",
    "Found",
    "appended_at",
    "cursor_of",
    "cursor_record",
    "last_owner",
    "owner_record",
    "read_back",
]

_OWNER = "o"
CURSOR = "c"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What the topic says: the world, the cursor (topic -> next offset), and when and where our
    owner record was appended (`appended_at` null: the topic keeps the producer's times)."""

    world: World
    cursor: Mapping[str, int]
    offset: int
    appended_at: int | None


def owner_record(settings: Settings, owner: str) -> Record:
    """Says that `owner` has taken over."""
    value = {"owner": owner, "partitions": settings.partitions, "format": _FORMAT}
    return _record(settings, _OWNER, json.dumps(value).encode())


def cursor_record(settings: Settings, cursor: Mapping[str, int]) -> Record:
    """Says how far the inputs were read."""
    return _record(settings, CURSOR, json.dumps(dict(cursor)).encode())


def cursor_of(value: bytes | None) -> dict[str, int]:
    """What a cursor's record says. Raises ledger.Unreadable."""
    try:
        found = _json(value)
        if not all(type(at) is int and 0 <= at < 1 << 63 for at in found.values()):
            raise ValueError("an offset is a number that is not negative")
    except ValueError as error:
        raise ledger.Unreadable(CURSOR, str(error)) from error
    return found


async def read_back(settings: Settings, owner: str, start: int) -> Found:
    """Read from offset `start` to the owner record of `owner`.

    Raises Recoverable where nothing comes, Fatal where the topic was written with
    another number of partitions or format.
    """
    partition = (Topics(settings.prefix).coordinator, 0)
    fetcher = Fetcher(settings, {partition: start}, name="coordinator-log")
    await fetcher.start()
    kept: dict[str, KafkaRecord] = {}
    try:
        while True:
            for batch in await fetcher.progress():
                for record in unpack(batch):
                    key = own_key(record.key)
                    if key is None or not (key in (_OWNER, CURSOR) or ledger.known(key)):
                        pass_over(batch.topic, batch.partition, record.offset, f"{record.key!r}")
                        continue
                    kept.pop(key, None)  # in the order of the last change
                    kept[key] = record
                    if key == _OWNER and _checked_owner(settings, record) == owner:
                        return _found(settings, kept, batch, record.offset)
    finally:
        await fetcher.close()


async def last_owner(settings: Settings, start: int, end: int) -> str | None:
    """Who has taken over last, among the offsets `[start, end)`.

    Raises Recoverable where nothing comes.
    """
    partition = (Topics(settings.prefix).coordinator, 0)
    fetcher = Fetcher(settings, {partition: start}, name="coordinator-owner")
    await fetcher.start()
    owner: str | None = None
    try:
        while fetcher.position(partition) < end:
            for batch in await fetcher.progress():
                for record in unpack(batch):
                    if record.key == _OWNER.encode():
                        owner = _checked_owner(settings, record) or owner
    finally:
        await fetcher.close()
    return owner


async def appended_at(settings: Settings, offset: int) -> int | None:
    """The broker's time (UTC ms) at which the record at `offset` was appended.

    None where the topic keeps the producer's times. Raises Recoverable where nothing comes.
    """
    partition = (Topics(settings.prefix).coordinator, 0)
    fetcher = Fetcher(settings, {partition: offset}, name="coordinator-clock")
    await fetcher.start()
    try:
        while True:
            for batch in await fetcher.progress():
                return batch.max_timestamp if batch.log_append_time else None
    finally:
        await fetcher.close()


def _found(settings: Settings, kept: dict[str, KafkaRecord], batch: RawBatch, offset: int) -> Found:
    def unreadable(error: ledger.Unreadable) -> None:
        at = kept[error.key].offset
        if not ledger.foreign(error.key):
            place = f"{batch.topic}[{batch.partition}] offset {at}"
            raise Fatal(f"{place}: {error.message}", remedy=error.remedy) from error
        pass_over(batch.topic, batch.partition, at, error.message)

    cursor: dict[str, int] = {}
    if CURSOR in kept and kept[CURSOR].value is not None:
        try:
            cursor = cursor_of(kept[CURSOR].value)
        except ledger.Unreadable as error:
            unreadable(error)
    world = ledger.load(
        ((key, record.value) for key, record in kept.items()),
        segments_are_roots=settings.segments_are_roots,
        unreadable=unreadable,
    )
    appended_at = batch.max_timestamp if batch.log_append_time else None
    return Found(world, cursor, offset, appended_at)


def _json(value: bytes | None) -> dict[str, Any]:
    """The JSON object that a value is. Raises ValueError."""
    try:
        found = json.loads(value or b"")
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _checked_owner(settings: Settings, record: KafkaRecord) -> str | None:
    """The owner that a record names; None where it cannot be read, so that no owner wrote it."""
    topic = Topics(settings.prefix).coordinator
    try:
        found = _json(record.value)
    except ValueError as error:
        pass_over(topic, 0, record.offset, str(error))
        return None
    if found.get("format") != _FORMAT:
        raise Fatal(
            f"topic {topic} has format {found.get('format')}, this version writes {_FORMAT}",
            remedy="Run the version of emberline that wrote it",
        )
    if found.get("partitions") != settings.partitions:
        raise Fatal(
            f"topic {topic} was written with {found.get('partitions')} partitions, "
            f"the setting partitions is {settings.partitions}",
            remedy=f"Set partitions to {found.get('partitions')}",
        )
    return str(found.get("owner"))


def _record(settings: Settings, key: str, value: bytes | None) -> Record:
    return Record(Topics(settings.prefix).coordinator, key.encode(), value)
