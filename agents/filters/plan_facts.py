"""The facts about sources, segments and tags that a plan needs, as of one moment."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.records.lifecycle import HIDDEN, State

__all__ = ["FixedPlanFacts", "PlanFacts", "SegmentView", "SourceView"]


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source that has data or a definition.

    `version` is the version of its lifecycle record, None if there is none yet. `steps` and
    `variations` are the ids that its definition lists. If there is no definition or it lists none,
    they are empty, and then any id is accepted.
    """

    state: State = State.UNKNOWN
    version: int | None = None
    legacy_deleted: bool = False
    steps: frozenset[str] = frozenset()
    variations: frozenset[str] = frozenset()

    @property
    def hidden(self) -> bool:
        """Whether its data is excluded from every answer."""
        return self.state in HIDDEN


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment's definition: its filters as JSON text, None if it has none."""

    filters: str | None


class PlanFacts(Protocol):
    """Lookups while one query is planned; they must not change meanwhile."""

    def source(self, key: str) -> SourceView | None:
        """The source; None if it has neither data nor a definition."""

    def segment(self, key: str) -> SegmentView | None:
        """The segment; None if it has no definition."""

    def tagged(self, tag: str) -> Collection[str] | None:
        """The sources that have the tag now; None for an unknown tag."""


@dataclass(frozen=True, slots=True)
class FixedPlanFacts:
    """Facts made of mappings, all by full key, `tags` by tag."""

    sources: Mapping[str, SourceView] = field(default_factory=dict)
    segments: Mapping[str, str | None] = field(default_factory=dict)
    tags: Mapping[str, Collection[str]] = field(default_factory=dict)

    def source(self, key: str) -> SourceView | None:
        """As `PlanFacts`."""
        return self.sources.get(key)

    def segment(self, key: str) -> SegmentView | None:
        """As `PlanFacts`."""
        return SegmentView(self.segments[key]) if key in self.segments else None

    def tagged(self, tag: str) -> Collection[str] | None:
        """As `PlanFacts`."""
        return self.tags.get(tag)
