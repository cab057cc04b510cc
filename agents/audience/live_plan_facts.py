"""The sources, segments and tags that this worker knows now: a filter is planned against them."""

from dataclasses import dataclass

from agents.filters.plan_facts import SegmentView, SourceView
from agents.views.protocol import SourceRecords, TaggedDefinitions
from schemas.records.lifecycle import State, is_source

__all__ = ["LivePlanFacts"]


@dataclass(slots=True)
class LivePlanFacts:
    """Implements `agents.filters.PlanFacts`; valid only until the event loop's next turn.

    The state of a source comes from its lifecycle record, its parts from its definition. A source
    with data and without a definition has a record too: the shards report it and the coordinator
    writes UNKNOWN.
    """

    states: SourceRecords
    catalog: TaggedDefinitions
    _undefined: dict[str, set[str]] | None = None

    def source(self, key: str) -> SourceView | None:
        """The source; None if it has neither data nor a definition."""
        record, entry = self.states.get(key), self.catalog.get(key)
        if not is_source(key) or (record is None and entry is None):
            return None
        legacy = (record is not None and record.legacy_deleted) or (
            entry is not None and entry.definition.legacy_deleted
        )
        return SourceView(
            state=State.UNKNOWN if record is None else record.state,
            version=None if record is None else record.version,
            legacy_deleted=legacy,
            steps=frozenset(entry.steps if entry is not None else ()),
            variations=frozenset(entry.variations if entry is not None else ()),
        )

    def segment(self, key: str) -> SegmentView | None:
        """The segment; None if it has no definition."""
        entry = self.catalog.get(key)
        if entry is None or entry.definition.kind != "segment":
            return None
        return SegmentView(entry.definition.filters)

    def tagged(self, tag: str) -> frozenset[str] | None:
        """The sources that have the tag now; a deleted one keeps its last tags."""
        found = {key for key in self.catalog.tagged(tag) if is_source(key)}
        return frozenset(found | self._deleted().get(tag, set())) or None

    def _deleted(self) -> dict[str, set[str]]:
        """Sources without a definition by tag. A filter may name a thousand tags, so all records
        are read once for all tags.
        """
        if self._undefined is None:
            self._undefined = {}
            for record in self.states:
                if record.tags and self.catalog.get(record.source) is None:
                    for tag in record.tags:
                        self._undefined.setdefault(tag, set()).add(record.source)
        return self._undefined
