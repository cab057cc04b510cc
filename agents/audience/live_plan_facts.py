"""Sources, segments and tags as this worker knows them now: what a filter is planned against."""

from dataclasses import dataclass

from agents.filters.plan_facts import SegmentView, SourceView
from agents.views.protocol import SourceRecords, TaggedDefinitions
from schemas.records.lifecycle import State, is_source

__all__ = ["LivePlanFacts"]


@dataclass(slots=True)
class LivePlanFacts:
    """Implements `agents.filters.PlanFacts`; must not outlive the turn of the loop it is made in.

    A source's state is its lifecycle record's, its parts are its definition's. Data without a
    definition has a record too: the shards report it and the coordinator writes UNKNOWN.
    """

    states: SourceRecords
    catalog: TaggedDefinitions
    _undefined: dict[str, set[str]] | None = None

    def source(self, key: str) -> SourceView | None:
        """The source; None where it has neither data nor a definition."""
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
        """The segment; None where no definition is there."""
        entry = self.catalog.get(key)
        if entry is None or entry.definition.kind != "segment":
            return None
        return SegmentView(entry.definition.filters)

    def tagged(self, tag: str) -> frozenset[str] | None:
        """The sources that have the tag now; a deleted one keeps its last tags."""
        found = {key for key in self.catalog.tagged(tag) if is_source(key)}
        return frozenset(found | self._deleted().get(tag, set())) or None

    def _deleted(self) -> dict[str, set[str]]:
        """Sources without a definition by tag. A filter may name a thousand tags: all records
        are looked through once, and not for each."""
        if self._undefined is None:
            self._undefined = {}
            for record in self.states:
                if record.tags and self.catalog.get(record.source) is None:
                    for tag in record.tags:
                        self._undefined.setdefault(tag, set()).add(record.source)
        return self._undefined
