r"""The outbox as records of the compacted topic `notifications`.

    o                     the owner: the notifier that has taken over
    c                     the cursor: the next offset of each topic that facts are read from
    n/<notice id>         a notice
    d/<delivery id>       a delivery
    g/<kind>/<key>        a fact that waits for the next notice of its kind
    l/<kind>              when the last notice of collected facts was made
    k/<source>            the version of a source whose stuck work has been collected
    w/                    what a sweep has asked last
    q/<delivery id>       a request to try a failed delivery again; `*` means all

Values are JSON; a null value deletes. `agents/notify/retrying.py` writes `q/`, the notifier all
others.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from agents.notify.outbox import (
    Channel,
    Collected,
    Delivery,
    DeliveryState,
    Notice,
    NoticeKind,
    Outbox,
)
from schemas.decode.batch_records import KafkaRecord, RecordBatch
from streams.kafka.foreign_records import in_transaction, own_key, pass_over
from streams.kafka.log import Log, ReaderOptions, Record
from streams.kafka.stored_format import STAMP, stored_records_of

__all__ = [
    "ALL",
    "CURSOR",
    "OWNER",
    "RETRY",
    "FoundOutbox",
    "apply",
    "cursor_record",
    "last_owner",
    "read_back",
    "record",
]

OWNER, CURSOR, RETRY, ALL = "o", "c", "q/", "*"
_LETTERS = "ndglkw"
_IDS = "ids"
_DELIVERY = frozenset(each.name for each in fields(Delivery))


@dataclass(slots=True)
class FoundOutbox:
    """What the topic holds: the outbox, the cursor with the ids of its topics, and retries that
    were asked for. `offset`: of the owner's record."""

    outbox: Outbox
    cursor: dict[str, int] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    retries: list[str] = field(default_factory=list)
    offset: int = 0


def record(topic: str, key: str, value: object | None) -> Record:
    """One record; None deletes."""
    if value is None:
        return Record(topic, key.encode(), None, headers=STAMP)
    plain: Any = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    data = json.dumps(plain, separators=(",", ":")).encode()
    return Record(topic, key.encode(), data, headers=STAMP)


def apply(found: FoundOutbox, key: str, value: bytes | None) -> None:
    """Apply one record. Raises ValueError for one that no notifier has written."""
    letter, slash, name = key.partition("/")
    if key == OWNER:
        return
    try:
        plain = None if value is None else json.loads(value)
        if key == CURSOR and isinstance(plain, dict):
            found.cursor = {str(topic): _offset(at) for topic, at in plain["offsets"].items()}
            found.ids = {str(topic): str(one) for topic, one in plain[_IDS].items()}
        elif key.startswith(RETRY):
            found.retries = [one for one in found.retries if one != name]
            if plain is not None:
                found.retries.append(name)
        elif slash and letter in _LETTERS:
            found.outbox.restore(letter, name, None if plain is None else _MADE[letter](plain))
        else:
            raise ValueError(f"a key {key[:80]!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} {error}") from error


def cursor_record(topic: str, offsets: Mapping[str, int], ids: Mapping[str, str]) -> Record:
    """The record of the cursor."""
    return record(topic, CURSOR, {"offsets": dict(offsets), _IDS: dict(ids)})


async def read_back(kafka: Log, topic: str, owner: str, start: int, outbox: Outbox) -> FoundOutbox:
    """Read from offset `start` to the owner record of `owner`, into an empty outbox.

    Foreign records are skipped. Raises Recoverable if no record comes.
    """
    found = FoundOutbox(outbox)
    reader = kafka.reader({(topic, 0): start}, ReaderOptions(name="notifier-log"))
    try:
        await reader.start()
        while True:
            for batch in await reader.progress():
                for key, one in _trusted(batch):
                    if key == OWNER and _owner(one.value) == owner:
                        found.offset = one.offset
                        return found
                    try:
                        apply(found, key, one.value)
                    except ValueError as error:
                        pass_over(topic, 0, one.offset, str(error))
    finally:
        await reader.close()


async def last_owner(kafka: Log, topic: str, start: int, end: int) -> str | None:
    """The last owner that has taken over, among the offsets `[start, end)`. Raises Recoverable."""
    reader = kafka.reader({(topic, 0): start}, ReaderOptions(name="notifier-owner"))
    found: str | None = None
    try:
        await reader.start()
        while reader.position((topic, 0)) < end:
            for batch in await reader.progress():
                for key, one in _trusted(batch):
                    if key == OWNER:
                        found = _owner(one.value) or found
    finally:
        await reader.close()
    return found


def _trusted(batch: RecordBatch) -> Iterator[tuple[str, KafkaRecord]]:
    """The records with their keys that a notifier has written, in its transactions, and requests to
    try again, which anybody may write who may write here: others must not make it send anything.
    """
    for one in stored_records_of(batch):
        key = own_key(one.key) or ""
        if key.startswith(RETRY) or in_transaction(batch) is not False:
            yield key, one
        else:
            pass_over(batch.topic, batch.partition, one.offset, "no notifier has written it")


def _owner(value: bytes | None) -> str | None:
    try:
        found = json.loads(value or b"")
        return str(found["owner"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _offset(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ValueError("an offset is a number that is not negative")
    return value


def _notice(plain: dict[str, Any]) -> Notice:
    data = plain["data"]
    if not isinstance(data, dict):
        raise ValueError("data is an object")
    return Notice(str(plain["id"]), NoticeKind(plain["kind"]), _offset(plain["time"]), data)


def _delivery(plain: dict[str, Any]) -> Delivery:
    words: dict[str, Any] = {
        "kind": NoticeKind(plain["kind"]),
        "channel": Channel(plain["channel"]),
        "state": DeliveryState(plain["state"]),
    }
    known = {name: value for name, value in plain.items() if name in _DELIVERY}
    made = Delivery(**{**known, **words})
    for text in (made.id, made.notice, made.to, made.language, made.error):
        if not isinstance(text, str):
            raise ValueError("a delivery's words are texts")
    for number in (made.created, made.until, made.attempts, made.next_at, made.changed):
        _offset(number)
    return made


def _item(plain: dict[str, Any]) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise ValueError("a fact is an object")
    return plain


_MADE: Mapping[str, Callable[[Any], Any]] = {
    "n": _notice,
    "d": _delivery,
    "g": _item,
    "l": lambda plain: Collected(_offset(plain["since"]), _offset(plain["told_at"])),
    "k": _offset,
    "w": str,
}
