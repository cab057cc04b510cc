"""The interfaces of the two views, which tests and commands may implement too."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Protocol

from agents.names.index import NameIndex
from agents.views.catalog_view import CatalogEntry
from schemas.records.lifecycle import SourceState

__all__ = [
    "ChangingStates",
    "DefinitionLookup",
    "SourceLookup",
    "SourceRecords",
    "SourceStates",
    "TaggedDefinitions",
]


class SourceLookup(Protocol):
    """`lifecycle.state` as this worker has read it, by source (agents/views/state_view.py)."""

    def get(self, source: str) -> SourceState | None:
        """The latest record of one source."""
        ...


class SourceRecords(SourceLookup, Protocol):
    """The same, and all of it."""

    def __iter__(self) -> Iterator[SourceState]:
        """The latest record of every source."""
        ...


class SourceStates(SourceRecords, Protocol):
    """The same, by what people call a source too, and whether it has been read."""

    @property
    def names(self) -> NameIndex:
        """The same records, by key, id, name and their beginnings."""
        ...

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once the topic has been read up to its end as of the start."""
        ...


class ChangingStates(SourceStates, Protocol):
    """The same, and what changes."""

    @property
    def position(self) -> int:
        """The next offset of `lifecycle.state` to be read."""
        ...

    @property
    def silent_s(self) -> Callable[[], float]:
        """Tells the seconds since a broker last answered the reader."""
        ...

    def counts(self) -> dict[str, int]:
        """How many sources are in each state that any is in."""
        ...

    def stuck(self) -> Mapping[str, int]:
        """The sources whose work waits for a late shard: since when it runs, UTC milliseconds."""
        ...

    def failed(self) -> Set[str]:
        """The sources whose record has a failure."""
        ...

    def changed_since(self, offset: int) -> Iterator[str]:
        """The sources whose record was written at this offset or later, the latest first."""
        ...


class DefinitionLookup(Protocol):
    """`catalog` as this worker has read it, by key (agents/views/catalog_view.py)."""

    def get(self, key: str) -> CatalogEntry | None:
        """The definition of a key."""
        ...


class TaggedDefinitions(DefinitionLookup, Protocol):
    """The same, and by tag."""

    def tagged(self, tag: str) -> frozenset[str]:
        """The keys whose definition has the tag."""
        ...
