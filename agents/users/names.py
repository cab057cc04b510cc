"""Names of sources, variations and steps."""

from agents.views.protocol import DefinitionLookup, SourceLookup

__all__ = ["Names"]


class Names:
    """Names by id; without a name the id is used."""

    def __init__(self, sources: SourceLookup, catalog: DefinitionLookup) -> None:
        self._sources = sources
        self._catalog = catalog

    def source(self, source: str) -> str:
        """The name of a campaign or Canvas; for a deleted definition its last name."""
        entry, record = self._catalog.get(source), self._sources.get(source)
        named = entry.definition.name if entry is not None else ""
        kept = record.name if record is not None else ""
        return named or kept or source.partition(":")[2]

    def state(self, source: str) -> str | None:
        """The state of the source."""
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
