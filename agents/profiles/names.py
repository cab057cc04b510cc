"""What sources, variations and steps are called."""

from collections.abc import Mapping
from typing import Protocol

from schemas.lifecycle import SourceState

__all__ = ["Definitions", "Described", "Names", "Sources"]


class Described(Protocol):
    """A definition's parts: names by id."""

    @property
    def steps(self) -> Mapping[str, str]:
        """Of a Canvas."""
        ...

    @property
    def variations(self) -> Mapping[str, str]:
        """Of a campaign or Canvas."""
        ...


class Definitions(Protocol):
    """`catalog` as this worker has read it."""

    def get(self, key: str) -> Described | None:
        """The definition of a key."""
        ...


class Sources(Protocol):
    """`lifecycle.state` as this worker has read it."""

    def get(self, source: str) -> SourceState | None:
        """The latest record of one source."""
        ...


class Names:
    """Names by id; what has none is called by its id. `catalog` may be absent."""

    def __init__(self, sources: Sources, catalog: Definitions | None = None) -> None:
        self._sources = sources
        self._catalog = catalog

    def source(self, source: str) -> str:
        """A campaign's or Canvas's name: its record's, which is its definition's last one."""
        record = self._sources.get(source)
        return (record.name if record is not None else "") or source.partition(":")[2]

    def state(self, source: str) -> str | None:
        """Where the source stands."""
        record = self._sources.get(source)
        return None if record is None else record.state.value

    def variation(self, source: str, variation: str) -> str:
        """A variation's name."""
        found = self._catalog.get(source) if self._catalog is not None else None
        return (found.variations.get(variation) if found is not None else None) or variation

    def step(self, source: str, step: str) -> str:
        """A step's name."""
        found = self._catalog.get(source) if self._catalog is not None else None
        return (found.steps.get(step) if found is not None else None) or step
