"""The `coordinator` topic: the current owner, the cursor of the inputs, and the state.

After fencing, a new owner reads the topic up to its own owner record: then no record of a former
owner is missing, and none can follow.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import CoordinatorState
from schemas.decode.batch import KafkaRecord, RecordBatch
from schemas.errors import Fatal
from schemas.records.lifecycle import is_source
from streams.kafka.foreign_records import own_key, pass_over
from streams.kafka.log import Log, ReaderOptions, Record
from streams.kafka.stored_format import STAMP, stored_records_of
from streams.kafka.topic_specs import fixed_number
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = [
    "CURSOR",
    "Found",
    "appended_at",
    "cursor_of",
    "cursor_record",
    "ids_of",
    "last_owner",
    "owner_record",
    "read_back",
]

_OWNER = "o"
CURSOR = "c"
_IDS = "topic-ids"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Found:
    """The contents of the topic: the state, the cursor (topic -> next offset), and the time and
    offset of our owner record (`appended_at` null: the topic keeps the producer's times).
    """

    state: CoordinatorState
    cursor: Mapping[str, int]
    offset: int
    appended_at: int | None
    ids: Mapping[str, str] = field(default_factory=dict)
    """Of which incarnation of its topic each offset of the cursor is; former versions say none."""
    lost: frozenset[str] = frozenset()
    """Sources of which no record can be read: somebody has written over it."""


def owner_record(settings: Settings, owner: str) -> Record:
    """The record that says that `owner` has taken over."""
    value = {"owner": owner, "partitions": settings.partitions, "format": _FORMAT}
    return _record(settings, _OWNER, json.dumps(value).encode())


def cursor_record(settings: Settings, cursor: Mapping[str, int], ids: Mapping[str, str]) -> Record:
    """The record of the cursor: how far the inputs have been processed, and, in a header, the
    ids of their topics."""
    headers = (*STAMP, (_IDS, json.dumps(dict(ids)).encode()))
    return replace(_record(settings, CURSOR, json.dumps(dict(cursor)).encode()), headers=headers)


def ids_of(record: KafkaRecord) -> dict[str, str]:
    """The ids beside a cursor; none where a former version wrote it."""
    for key, value in record.headers:
        if key == _IDS:
            with suppress(ValueError):
                found = _json(value)
                return {name: one for name, one in found.items() if isinstance(one, str)}
    return {}


def cursor_of(value: bytes | None) -> dict[str, int]:
    """The cursor in a record. Raises ledger.Unreadable."""
    try:
        found = _json(value)
        if not all(type(at) is int and 0 <= at < 1 << 63 for at in found.values()):
            raise ValueError("an offset is a number that is not negative")
    except ValueError as error:
        raise ledger.Unreadable(CURSOR, str(error)) from error
    return found


async def read_back(settings: Settings, kafka: Log, owner: str, start: int) -> Found:
    """Read from offset `start` to the owner record of `owner`.

    A foreign record is skipped: the previous record of its key counts. Raises Recoverable if no
    record comes, Fatal if the topic was written with another number of partitions or another
    format.
    """
    partition = (Topics(settings.prefix).coordinator, 0)
    reader = kafka.reader({partition: start}, ReaderOptions(name="coordinator-log"))
    await reader.start()
    kept: dict[str, KafkaRecord] = {}
    try:
        while True:
            for batch in await reader.progress():
                for record in stored_records_of(batch):
                    key = own_key(record.key)
                    if key is None or not (key in (_OWNER, CURSOR) or ledger.known(key)):
                        pass_over(batch.topic, batch.partition, record.offset, f"{record.key!r}")
                        continue
                    kept.pop(key, None)  # in the order of the last change
                    kept[key] = record
                    if key == _OWNER and _checked_owner(settings, record) == owner:
                        appended_at = batch.max_timestamp if batch.log_append_time else None
                        bad = _pass_over_bad(batch, kept)
                        earlier = await _before(settings, kafka, start, record.offset, bad)
                        return _found(settings, kept, bad, earlier, record.offset, appended_at)
    finally:
        await reader.close()


def _pass_over_bad(batch: RecordBatch, kept: Mapping[str, KafkaRecord]) -> frozenset[str]:
    """The keys whose latest record cannot be read."""
    bad = set()
    for key, record in kept.items():
        if (fault := _fault(key, record.value)) is not None:
            pass_over(batch.topic, batch.partition, record.offset, fault)
            bad.add(key)
    return frozenset(bad)


def _fault(key: str, value: bytes | None) -> str | None:
    """Why a record cannot be one of the coordinator's, or None."""
    if key == _OWNER:
        return None
    if value is None:
        # a source, the sweep and the cursor are never forgotten
        return f"{key} without a value" if key[0] in "swc" else None
    try:
        cursor_of(value) if key == CURSOR else ledger.parsed(key, value)
    except ledger.Unreadable as error:
        return error.message
    return None


async def _before(
    settings: Settings, kafka: Log, start: int, end: int, keys: frozenset[str]
) -> dict[str, KafkaRecord]:
    """The latest readable record of each of `keys` within `[start, end)`."""
    found: dict[str, KafkaRecord] = {}
    if not keys:
        return found
    partition = (Topics(settings.prefix).coordinator, 0)
    reader = kafka.reader({partition: start}, ReaderOptions(name="coordinator-former"))
    await reader.start()
    try:
        while reader.position(partition) < end:
            for batch in await reader.progress():
                for record in stored_records_of(batch):
                    key = own_key(record.key)
                    if key in keys and _fault(key or "", record.value) is None:
                        found[key or ""] = record
    finally:
        await reader.close()
    return found


async def last_owner(settings: Settings, kafka: Log, start: int, end: int) -> str | None:
    """The last owner that has taken over, among the offsets `[start, end)`.

    Raises Recoverable if no record comes.
    """
    partition = (Topics(settings.prefix).coordinator, 0)
    reader = kafka.reader({partition: start}, ReaderOptions(name="coordinator-owner"))
    await reader.start()
    owner: str | None = None
    try:
        while reader.position(partition) < end:
            for batch in await reader.progress():
                for record in stored_records_of(batch):
                    if record.key == _OWNER.encode():
                        owner = _checked_owner(settings, record) or owner
    finally:
        await reader.close()
    return owner


async def appended_at(settings: Settings, kafka: Log, offset: int) -> int | None:
    """The broker's time (UTC ms) at which the record at `offset` was appended.

    None if the topic keeps the producer's times. Raises Recoverable if no record comes.
    """
    partition = (Topics(settings.prefix).coordinator, 0)
    reader = kafka.reader({partition: offset}, ReaderOptions(name="coordinator-clock"))
    await reader.start()
    try:
        while True:
            for batch in await reader.progress():
                return batch.max_timestamp if batch.log_append_time else None
    finally:
        await reader.close()


def _found(
    settings: Settings,
    kept: Mapping[str, KafkaRecord],
    bad: frozenset[str],
    earlier: Mapping[str, KafkaRecord],
    offset: int,
    appended_at: int | None,
) -> Found:
    records = {**{key: one for key, one in kept.items() if key not in bad}, **earlier}
    cursor = cursor_of(records[CURSOR].value) if CURSOR in records else {}
    ids = ids_of(records[CURSOR]) if CURSOR in records else {}
    state = ledger.load(
        ((key, record.value) for key, record in records.items()),
        segments_are_roots=settings.segments_are_roots,
    )
    lost = (key[2:] for key in bad - earlier.keys() if key.startswith("s/"))
    return Found(state, cursor, offset, appended_at, ids, frozenset(filter(is_source, lost)))


def _json(value: bytes | None) -> dict[str, Any]:
    """The JSON object in a value. Raises ValueError."""
    try:
        found = json.loads(value or b"")
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _checked_owner(settings: Settings, record: KafkaRecord) -> str | None:
    """The owner that a record names; None if it cannot be read, because then no owner wrote it."""
    topic = Topics(settings.prefix).coordinator
    try:
        found = _json(record.value)
    except ValueError as error:
        pass_over(topic, 0, record.offset, str(error))
        return None
    if not isinstance(found.get("owner"), str) or type(found.get("format")) is not int:
        pass_over(topic, 0, record.offset, "no owner record of any version")
        return None
    if found.get("format") != _FORMAT:
        raise Fatal(
            f"topic {topic} has format {found.get('format')}, this version writes {_FORMAT}",
            remedy="Run the version of emberline that wrote it, or a newer one",
        )
    if found.get("partitions") != settings.partitions:
        raise Fatal(
            f"topic {topic} was written with {found.get('partitions')} partitions, "
            f"the setting partitions is {settings.partitions}",
            remedy=fixed_number(found.get("partitions", 0)),
        )
    return str(found.get("owner"))


def _record(settings: Settings, key: str, value: bytes | None) -> Record:
    return Record(Topics(settings.prefix).coordinator, key.encode(), value, headers=STAMP)
