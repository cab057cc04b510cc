"""Looks for erased users in the records that the coordinator writes: requests, results, the audit,
states, events and notices.

These records have no field for a user, but texts that people write, such as the reason of a hold. A
text names a user if it is the user's id, or has it as a word.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from agents.verify.log_scan import LogScan
from schemas.decode.batch_records import KafkaRecord
from schemas.records import codec
from schemas.tables.erased import Mask
from streams.kafka.environment import Environment
from streams.kafka.log import Partition
from streams.kafka.topics import Topics

__all__ = ["NamedTrace", "named_traces", "words_of"]

_BETWEEN = re.compile(r"[\s\x1f]+")
_MARKS = ".,;:!?\"'`()[]{}<>"


@dataclass(frozen=True, slots=True)
class NamedTrace:
    """A record that names an erased user, whose digest is `digest`."""

    partition: Partition
    offset: int
    key: str
    digest: str


async def named_traces(environment: Environment, mask: Mask) -> list[NamedTrace]:
    """Every record that counts and names a user whom the mask hides. Raises `LogStuck`."""
    topics = Topics(environment.settings.prefix)
    found: list[NamedTrace] = []
    for topic, name, compacted in (
        (topics.coordinator, None, True),
        (topics.notifications, None, True),
        (topics.state, "state", True),
        (topics.control_results, "result", False),
        (topics.audit, "audit", False),
        (topics.expired, "expired", False),
        (topics.restored, "restored", False),
        (topics.expiring_soon, "expiring_soon", False),
    ):
        reading = _Reading((topic, 0), mask, name, compacted=compacted)
        start, _ = (await environment.kafka.admin.bounds([reading.partition]))[reading.partition]
        async with LogScan(environment, reading.partition, start) as scan:
            async for batch in scan.until(await scan.log_end()):
                await asyncio.to_thread(reading.take, batch.records)
        found += reading.found.values()
    return found


class _Reading:
    """One topic. Of a compacted one only the latest record of a key counts."""

    def __init__(
        self, partition: Partition, mask: Mask, name: str | None, *, compacted: bool
    ) -> None:
        self.partition = partition
        self._mask = mask
        self._name = name
        self._compacted = compacted
        self.found: dict[object, NamedTrace] = {}

    def take(self, records: Sequence[KafkaRecord]) -> None:
        words = [words_of(_texts(record, self._name)) for record in records]
        every = sorted(set[str]().union(*words))
        among = self._mask.among(pl.Series(every, dtype=pl.String))
        hidden = {user for user in among if self._mask.hides(user)}
        for record, some in zip(records, words, strict=True):
            at = record.key if self._compacted else record.offset
            self.found.pop(at, None)
            for user in sorted(some & hidden)[:1]:
                key = (record.key or b"").decode(errors="backslashreplace")
                # a key may be what names the user
                shown = key if user not in words_of([key]) else ""
                digest = among[user].token[:16].hex()
                self.found[at] = NamedTrace(self.partition, record.offset, shown, digest)


def _texts(record: KafkaRecord, name: str | None) -> Iterator[str]:
    """All texts of a record. One that cannot be decoded has none: other checks name it."""
    yield (record.key or b"").decode(errors="replace")
    if record.value is None:
        return
    try:
        if name is None:
            yield from _strings(json.loads(record.value))
        else:
            yield from _strings(codec.decode(record.value, name))
    except (ValueError, RecursionError, codec.Undecodable):
        return


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def words_of(texts: Iterator[str] | Sequence[str]) -> set[str]:
    """What may be an id in texts: each text as a whole, and its words without punctuation."""
    found: set[str] = set()
    for text in texts:
        found.add(text)
        for word in _BETWEEN.split(text):
            found.update((word, word.strip(_MARKS)))
    return found - {""}
