"""Plans a filter, or collects all reasons why it cannot be answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.filters.errors import FilterError
from agents.filters.nodes import (
    And,
    ClickedAlias,
    ClickedOpened,
    EnteredVariation,
    Filter,
    InSegment,
    LastReceived,
    LastReceivedWithTag,
    Node,
    Not,
    Opaque,
    Or,
    Received,
    ReceivedVariant,
    SourceFilter,
    TagFilter,
)
from agents.filters.parsing import parse_text
from agents.filters.plan_facts import PlanFacts, SourceView
from agents.filters.plan_nodes import (
    AllOf,
    AnyOf,
    Complement,
    Constant,
    Excluded,
    FilterPlan,
    LeafQuery,
    PlanNode,
)
from agents.filters.refusals import Code, FilterPath, FilterRefusal, OnExpired, Refused
from agents.filters.resolving import resolve
from agents.filters.tags import Tags
from schemas.records.lifecycle import State

__all__ = ["MAX_EXPANDED_DEPTH", "MAX_EXPANDED_NODES", "MAX_PAIRS", "plan"]

MAX_EXPANDED_NODES = 10_000
MAX_EXPANDED_DEPTH = 128
"""Of a filter with its segments in place: segments that name each other multiply."""

MAX_PAIRS = 50_000
"""Of a leaf and a source that it asks. A tag has any number of sources, and a filter may ask it
in a thousand leaves: each pair is planned in the worker's one loop, sent to every other worker
and evaluated on every shard. So many are planned in some 30 ms where the leaves ask the same
sources, in 0.3 s where no two do, and are a few MB to send."""

_NAMED = 10
_MOST_DETAIL = 2_000
"""Names and characters that one refusal's sentence has room for; its data has them all."""

_NOBODY = Constant(False)
_Views = Sequence[tuple[str, SourceView]]


def plan(
    node: Node, plan_facts: PlanFacts, *, now_ms: int, on_expired: OnExpired = OnExpired.REFUSE
) -> FilterPlan | Refused:
    """Expands segments and tags, looks up every name, and decides about hidden data.

    `now_ms` is the one moment of the query, in UTC milliseconds. Raises FilterError if a range of
    the filter itself is impossible at that moment, and (`too_large`) if the leaves read more than
    MAX_PAIRS sources in total. All other reasons, of all leaves, are collected in `Refused`.
    """
    planner = _Planner(plan_facts, now_ms, on_expired, Tags(plan_facts))
    tree = planner.step(resolve(node, now_ms), _Scope())
    if planner.refusals:
        return Refused(tuple(planner.refusals))
    excluded = tuple(each for found in planner.excluded.values() for each in found)
    return FilterPlan(tree, now_ms, planner.pins, excluded)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The planner's position. `flipped`: an odd number of negations lies above."""

    flipped: bool = False
    depth: int = 1
    outer: str | None = None
    through: tuple[str, ...] = ()

    def at(self, leaf: Filter) -> FilterPath:
        if self.outer is None:
            return FilterPath(leaf.path)
        return FilterPath(self.outer, self.through, leaf.path)


@dataclass
class _Planner:
    plan_facts: PlanFacts
    now_ms: int
    on_expired: OnExpired
    tags: Tags
    refusals: list[FilterRefusal] = field(default_factory=list)
    excluded: dict[FilterPath, list[Excluded]] = field(default_factory=dict)
    pins: dict[str, int | None] = field(default_factory=dict)
    nodes: int = 0
    pairs: int = 0
    parsed: dict[str, Node] = field(default_factory=dict)

    def step(self, node: Node, scope: _Scope) -> PlanNode:
        self.nodes += 1
        below = _Scope(scope.flipped, scope.depth + 1, scope.outer, scope.through)
        if isinstance(node, And):
            return AllOf(tuple(self.step(part, below) for part in node.parts))
        if isinstance(node, Or):
            return AnyOf(tuple(self.step(part, below) for part in node.parts))
        if isinstance(node, Not):
            below = _Scope(not scope.flipped, scope.depth + 1, scope.outer, scope.through)
            return Complement(self.step(node.part, below))
        if isinstance(node, InSegment):
            return self._segment(node, scope)
        if isinstance(node, SourceFilter):
            return self._source(node, scope)
        if isinstance(node, TagFilter):
            return self._tag(node, scope)
        if isinstance(node, Opaque):
            detail = f"it uses {node.name or 'something'!r}, which is not known here"
            return self._refuse(Code.UNKNOWN_FILTER, node, scope, detail)
        return LeafQuery(node)

    def _segment(self, leaf: InSegment, scope: _Scope) -> PlanNode:
        if leaf.segment in scope.through:
            chain = " > ".join((*scope.through, leaf.segment))
            return self._refuse(Code.SEGMENT_CYCLE, leaf, scope, f"segments form a cycle: {chain}")
        if self.nodes > MAX_EXPANDED_NODES or scope.depth > MAX_EXPANDED_DEPTH:
            detail = (
                f"with its segments the filter has more than {MAX_EXPANDED_NODES} nodes "
                f"or {MAX_EXPANDED_DEPTH} levels"
            )
            if any(refusal.code is Code.TOO_LARGE for refusal in self.refusals):
                return _NOBODY
            return self._refuse(Code.TOO_LARGE, leaf, scope, detail)
        if leaf.segment not in self.parsed:
            found = self.plan_facts.segment(leaf.segment)
            if found is None:
                detail = f"there is no {leaf.segment}"
                return self._refuse(Code.UNKNOWN_SEGMENT, leaf, scope, detail)
            try:
                node = parse_text(found.filters)
                node = None if node is None else resolve(node, self.now_ms)
            except FilterError as error:
                detail = f"the filter of {leaf.segment} cannot be used: {error}"
                return self._refuse(Code.UNREADABLE_SEGMENT, leaf, scope, detail)
            if node is None:
                # Its users are unknown: the whole roster would be a guess.
                detail = f"{leaf.segment} has no filter"
                return self._refuse(Code.UNREADABLE_SEGMENT, leaf, scope, detail)
            self.parsed[leaf.segment] = node
        outer = leaf.path if scope.outer is None else scope.outer
        inside = _Scope(
            scope.flipped ^ (not leaf.has),
            scope.depth + 1,
            outer,
            (*scope.through, leaf.segment),
        )
        step = self.step(self.parsed[leaf.segment], inside)
        return step if leaf.has else Complement(step)

    def _source(self, leaf: SourceFilter, scope: _Scope) -> PlanNode:
        self._count(1, leaf, scope)
        view = self.plan_facts.source(leaf.source)
        if view is None:
            detail = f"{leaf.source} has neither data nor a definition"
            return self._refuse(Code.UNKNOWN_SOURCE, leaf, scope, detail)
        known = self._known(leaf, view, scope)
        if view.legacy_deleted:
            return self._legacy(leaf, [(leaf.source, view)], scope)
        if view.hidden:
            return self._hidden(leaf, [(leaf.source, view)], scope)
        if not known:
            return _NOBODY
        self.pins[leaf.source] = view.version
        return LeafQuery(leaf, (leaf.source,))

    def _known(self, leaf: SourceFilter, view: SourceView, scope: _Scope) -> bool:
        """Whether the definition lists the step and the variation."""
        step = variation = None
        if isinstance(leaf, ClickedAlias | ClickedOpened | LastReceived | Received):
            step = leaf.step
        elif isinstance(leaf, EnteredVariation | ReceivedVariant):
            variation = leaf.variation
        if step is not None and view.steps and step not in view.steps:
            listed = _some(sorted(view.steps), len(view.steps))
            detail = f"{leaf.source} has no step {step!r}; it has {listed}"
            self._refuse(Code.UNKNOWN_STEP, leaf, scope, detail)
            return False
        if variation is not None and view.variations and variation not in view.variations:
            listed = _some(sorted(view.variations), len(view.variations))
            detail = f"{leaf.source} has no variation {variation!r}; it has {listed}"
            self._refuse(Code.UNKNOWN_VARIATION, leaf, scope, detail)
            return False
        return True

    def _tag(self, leaf: TagFilter, scope: _Scope) -> PlanNode:
        keys = self.tags.keys(leaf.tag)
        if keys is None:
            return self._refuse(Code.UNKNOWN_TAG, leaf, scope, f"no source has tag {leaf.tag!r}")
        self._count(len(keys), leaf, scope)
        found = self.tags.sources(leaf.tag)
        if found.lost:
            lost = _some(found.lost, len(found.lost))
            detail = f"{lost}: it has the tag, but neither data nor a definition"
            return self._refuse(Code.UNKNOWN_SOURCE, leaf, scope, detail)
        # Hidden data may hold the later receipt: without it the last one is not the last.
        uncertain = isinstance(leaf, LastReceivedWithTag) and leaf.span.before is not None
        negative = scope.flipped ^ (not leaf.has)
        if found.gone and (negative or uncertain):
            return self._legacy(leaf, found.gone, scope)
        if found.hidden and (negative or uncertain):
            return self._hidden(leaf, found.hidden, scope)
        self._exclude(leaf, [*found.gone, *found.hidden], scope)
        self.pins.update(found.pins)
        return LeafQuery(leaf, found.visible)

    def _count(self, sources: int, leaf: Filter, scope: _Scope) -> None:
        self.pairs += sources
        if self.pairs > MAX_PAIRS:
            at = scope.at(leaf)
            via = f" ({' > '.join(at.through)})"[:_MOST_DETAIL] if at.through else ""
            raise FilterError(
                at.path,
                "too_large",
                f"{leaf.name}{via} reads {sources:,} sources; the leaves up to here read "
                f"{self.pairs:,} (counted for each leaf), and a filter may read {MAX_PAIRS:,}",
                remedy="Ask in parts, or by tags that fewer sources have",
            )

    def _hidden(self, leaf: Filter, views: _Views, scope: _Scope) -> PlanNode:
        negative = scope.flipped ^ (not leaf.has)
        if self.on_expired is OnExpired.EXCLUDE and not negative:
            self._exclude(leaf, views, scope)
            # Under an odd number of `not`, the whole roster can only shorten the answer.
            return Constant(scope.flipped)
        states = _some([f"{key} is {view.state}" for key, view in views[:_NAMED]], len(views))
        return self._refuse(Code.SOURCE_HIDDEN, leaf, scope, states, views)

    def _legacy(self, leaf: Filter, views: _Views, scope: _Scope) -> PlanNode:
        names = _some([key for key, _ in views[:_NAMED]], len(views))
        detail = f"{names}: deleted for good under the older policy; no restore brings it back"
        return self._refuse(Code.LEGACY_DELETED, leaf, scope, detail, views)

    def _exclude(self, leaf: Filter, views: _Views, scope: _Scope) -> None:
        at = scope.at(leaf)
        # A segment that is named twice at one place has the same leaf there twice.
        if at not in self.excluded:
            self.excluded[at] = [Excluded(key, leaf.name, at) for key, _ in views]

    def _refuse(
        self,
        code: Code,
        leaf: Filter,
        scope: _Scope,
        detail: str,
        views: _Views | None = None,
    ) -> PlanNode:
        sources: tuple[tuple[str, State], ...] = tuple((k, view.state) for k, view in views or ())
        if len(detail) > _MOST_DETAIL:
            detail = f"{detail[:_MOST_DETAIL]}…"
        unknown = None
        if code is Code.UNKNOWN_SOURCE and isinstance(leaf, SourceFilter):
            unknown = leaf.source
        at = scope.at(leaf)
        self.refusals.append(FilterRefusal(code, at, leaf.name, detail, sources, unknown))
        return _NOBODY


def _some(names: Sequence[str], count: int) -> str:
    more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
