"""What the `catalog` topic says, as this worker has read it."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from schemas import codec
from schemas.batch import unpack
from schemas.codec import Undecodable
from schemas.lifecycle import Definition, is_source
from streams.fetch import Fetcher
from streams.offsets import bounds
from streams.settings import Settings
from streams.topics import Topics

__all__ = ["CatalogView", "Entry", "follow"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A definition with its parts: the names of its steps and variations by id."""

    definition: Definition
    steps: Mapping[str, str] = field(default_factory=dict)
    variations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """From a decoded `definition` record."""
        parts = _parts(record.get("steps")), _parts(record.get("variations"))
        return cls(Definition.from_record(record), *parts)


class CatalogView:
    """The present definition of every key. Fed by one task, read by many, all in one loop."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._tagged: dict[str, set[str]] = {}
        self.changes = 0
        """Grows with every record that changed something."""
        self.unreadable: dict[str, str] = {}
        """Keys whose latest record cannot be decoded, with what is wrong: the former holds."""
        self.caught_up = asyncio.Event()
        """Set once all that was there when the reading began has been applied."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """All definitions, sorted by key, as they are now."""
        return iter([self._entries[key] for key in sorted(self._entries)])

    def get(self, key: str) -> Entry | None:
        """The definition of `campaign:ID`, `canvas:ID`, `segment:ID` or `content_card:ID`."""
        return self._entries.get(key)

    def tagged(self, tag: str) -> frozenset[str]:
        """The keys, of any kind, whose definition has the tag."""
        return frozenset(self._tagged.get(tag, ()))

    def sources(self) -> Iterator[Entry]:
        """The campaigns and Canvases, sorted by key."""
        return (entry for entry in self if is_source(entry.definition.key))

    def segments(self) -> Iterator[Entry]:
        """The segments, sorted by key."""
        return (entry for entry in self if entry.definition.kind == "segment")

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take in one record, as the coordinator does.

        A null value deletes; one that is older than what we have, or that cannot be decoded,
        leaves the former definition in place.
        """
        name = (key or b"").decode(errors="replace")
        if value is None:
            self._put(name, None)
            return
        try:
            entry = _entry(name, value)
        except Undecodable as error:
            self.unreadable[name] = str(error)
            return
        former = self._entries.get(name)
        if former is None or not _older(entry.definition, former.definition):
            self._put(name, entry)

    def put(self, entry: Entry) -> None:
        """Take in a definition that no record has told yet, whatever its age."""
        self._put(entry.definition.key, entry)

    def _put(self, key: str, entry: Entry | None) -> None:
        former = self._entries.pop(key, None)
        for tag in former.definition.tags if former is not None else ():
            keys = self._tagged.get(tag, set())
            keys.discard(key)
            if not keys:
                self._tagged.pop(tag, None)
        self.unreadable.pop(key, None)
        if entry is not None:
            self._entries[key] = entry
            for tag in entry.definition.tags:
                self._tagged.setdefault(tag, set()).add(key)
        self.changes += 1


async def follow(settings: Settings, view: CatalogView) -> None:
    """Feed `view` from the beginning of `catalog` until cancelled.

    Waits out a broker that stops answering; raises Recoverable where none answers at the start.
    """
    partition = (Topics(settings.prefix).catalog, 0)
    start, end = (await bounds(settings, [partition]))[partition]
    fetcher = Fetcher(settings, {partition: start}, name="catalog-view")
    await fetcher.start()
    try:
        while True:
            if fetcher.position(partition) >= end:
                view.caught_up.set()
            for batch in await fetcher.fetch():
                for record in unpack(batch):
                    view.apply(record.key, record.value)
    finally:
        await fetcher.close()


def _entry(key: str, value: bytes) -> Entry:
    entry = Entry.from_record(codec.decode(value, "definition"))
    if entry.definition.key != key:
        detail = f"the record's key is {key!r}, the definition's {entry.definition.key!r}"
        raise Undecodable("undecodable", detail)
    return entry


def _parts(found: Any) -> dict[str, str]:
    return {part["id"]: part.get("name", "") for part in found or ()}


def _older(definition: Definition, former: Definition) -> bool:
    if definition.updated_at is None or former.updated_at is None:
        return False
    return definition.updated_at < former.updated_at
