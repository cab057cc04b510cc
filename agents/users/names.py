"""What sources, variations and steps are called."""

from typing import Protocol

from agents.views.catalog_view import Entry
from schemas.records.lifecycle import SourceState

__all__ = ["Definitions", "Names", "Sources"]


class Definitions(Protocol):
    """`catalog` as this worker has read it (agents/views/catalog_view.py)."""

    def get(self, key: str) -> Entry | None:
        """The definition of a key."""
        ...


class Sources(Protocol):
    """`lifecycle.state` as this worker has read it (agents/views/state_view.py)."""

    def get(self, source: str) -> SourceState | None:
        """The latest record of one source."""
        ...


class Names:
    """Names by id; what has none is called by its id."""

    def __init__(self, sources: Sources, catalog: Definitions) -> None:
        self._sources = sources
        self._catalog = catalog

    def source(self, source: str) -> str:
        """A campaign's or Canvas's name: a deleted definition's last one too."""
        entry, record = self._catalog.get(source), self._sources.get(source)
        named = entry.definition.name if entry is not None else ""
        kept = record.name if record is not None else ""
        return named or kept or source.partition(":")[2]

    def state(self, source: str) -> str | None:
        """Where the source stands."""
        record = self._sources.get(source)
        return None if record is None else record.state.value

    def variation(self, source: str, variation: str) -> str:
        """A variation's name."""
        entry = self._catalog.get(source)
        return (entry.variations.get(variation) if entry is not None else None) or variation

    def step(self, source: str, step: str) -> str:
        """A step's name."""
        entry = self._catalog.get(source)
        return (entry.steps.get(step) if entry is not None else None) or step
