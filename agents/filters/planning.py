"""From a filter to a plan, or to everything that stands in its way."""

from dataclasses import dataclass, field

from agents.filters.errors import FilterError
from agents.filters.nodes import (
    And,
    ClickedAlias,
    ClickedOpened,
    EnteredVariation,
    InSegment,
    LastReceived,
    LastReceivedWithTag,
    Leaf,
    Node,
    Not,
    Opaque,
    Or,
    Received,
    ReceivedVariant,
    SourceLeaf,
    TagLeaf,
)
from agents.filters.parsing import parse_text
from agents.filters.refusals import Code, OnExpired, Place, Refusal, Refused
from agents.filters.resolving import resolve
from agents.filters.steps import Both, Constant, Either, Excluded, Plan, Question, Rest, Step
from agents.filters.world import SourceView, World
from schemas.lifecycle import State

__all__ = ["MAX_EXPANDED_DEPTH", "MAX_EXPANDED_NODES", "plan"]

MAX_EXPANDED_NODES = 10_000
MAX_EXPANDED_DEPTH = 128
"""Of a filter with its segments in place: segments that name each other multiply."""

_NOBODY = Constant(False)


def plan(
    node: Node, world: World, *, now_ms: int, on_expired: OnExpired = OnExpired.REFUSE
) -> Plan | Refused:
    """Expands segments and tags, looks every name up, and decides about hidden data.

    `now_ms` is the query's one moment, in UTC milliseconds. Raises FilterError where a range
    of the filter itself is impossible at that moment; whatever else stands in the way is
    collected, from all leaves, in `Refused`.
    """
    planner = _Planner(world, now_ms, on_expired)
    tree = planner.step(resolve(node, now_ms), _Scope())
    if planner.refusals:
        return Refused(tuple(planner.refusals))
    excluded = tuple(dict.fromkeys(planner.excluded))
    return Plan(tree, now_ms, planner.pins, excluded)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where the planner stands. `flipped`: an odd number of negations lies above."""

    flipped: bool = False
    depth: int = 1
    outer: str | None = None
    through: tuple[str, ...] = ()

    def place(self, leaf: Leaf) -> Place:
        if self.outer is None:
            return Place(leaf.path)
        return Place(self.outer, self.through, leaf.path)


@dataclass
class _Planner:
    world: World
    now_ms: int
    on_expired: OnExpired
    refusals: list[Refusal] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    pins: dict[str, int | None] = field(default_factory=dict)
    nodes: int = 0
    parsed: dict[str, Node] = field(default_factory=dict)

    def step(self, node: Node, scope: _Scope) -> Step:
        self.nodes += 1
        below = _Scope(scope.flipped, scope.depth + 1, scope.outer, scope.through)
        if isinstance(node, And):
            return Both(tuple(self.step(part, below) for part in node.parts))
        if isinstance(node, Or):
            return Either(tuple(self.step(part, below) for part in node.parts))
        if isinstance(node, Not):
            below = _Scope(not scope.flipped, scope.depth + 1, scope.outer, scope.through)
            return Rest(self.step(node.part, below))
        if isinstance(node, InSegment):
            return self._segment(node, scope)
        if isinstance(node, SourceLeaf):
            return self._source(node, scope)
        if isinstance(node, TagLeaf):
            return self._tag(node, scope)
        if isinstance(node, Opaque):
            detail = f"it rests on {node.name or 'something'!r}, which is not known here"
            return self._refuse(Code.UNKNOWN_FILTER, node, scope, detail)
        return Question(node)

    def _segment(self, leaf: InSegment, scope: _Scope) -> Step:
        if leaf.segment in scope.through:
            chain = " > ".join((*scope.through, leaf.segment))
            return self._refuse(Code.SEGMENT_CYCLE, leaf, scope, f"segments in a circle: {chain}")
        if self.nodes > MAX_EXPANDED_NODES or scope.depth > MAX_EXPANDED_DEPTH:
            detail = (
                f"with its segments the filter has more than {MAX_EXPANDED_NODES} nodes "
                f"or {MAX_EXPANDED_DEPTH} levels"
            )
            if any(refusal.code is Code.TOO_LARGE for refusal in self.refusals):
                return _NOBODY
            return self._refuse(Code.TOO_LARGE, leaf, scope, detail)
        if leaf.segment not in self.parsed:
            found = self.world.segment(leaf.segment)
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
                # Nothing is known of who is in it: everybody would be a guess.
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
        return step if leaf.has else Rest(step)

    def _source(self, leaf: SourceLeaf, scope: _Scope) -> Step:
        view = self.world.source(leaf.source)
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
        return Question(leaf, (leaf.source,))

    def _known(self, leaf: SourceLeaf, view: SourceView, scope: _Scope) -> bool:
        """Whether the step and the variation are among those that the definition lists."""
        step = variation = None
        if isinstance(leaf, ClickedAlias | ClickedOpened | LastReceived | Received):
            step = leaf.step
        elif isinstance(leaf, EnteredVariation | ReceivedVariant):
            variation = leaf.variation
        if step is not None and view.steps and step not in view.steps:
            detail = f"{leaf.source} has no step {step!r}; it has {_some(view.steps)}"
            self._refuse(Code.UNKNOWN_STEP, leaf, scope, detail)
            return False
        if variation is not None and view.variations and variation not in view.variations:
            detail = (
                f"{leaf.source} has no variation {variation!r}; it has {_some(view.variations)}"
            )
            self._refuse(Code.UNKNOWN_VARIATION, leaf, scope, detail)
            return False
        return True

    def _tag(self, leaf: TagLeaf, scope: _Scope) -> Step:
        tagged = self.world.tagged(leaf.tag)
        if tagged is None:
            return self._refuse(Code.UNKNOWN_TAG, leaf, scope, f"nothing has the tag {leaf.tag!r}")
        views = {key: self.world.source(key) for key in sorted(tagged)}
        lost = [key for key, view in views.items() if view is None]
        if lost:
            detail = f"{', '.join(lost)}: tagged, but neither data nor a definition is there"
            return self._refuse(Code.UNKNOWN_SOURCE, leaf, scope, detail)
        found = [(key, view) for key, view in views.items() if view is not None]
        gone = [(key, view) for key, view in found if view.legacy_deleted]
        hidden = [(key, view) for key, view in found if view.hidden and not view.legacy_deleted]
        # Hidden data may hold the later receipt: without it the last one is not the last.
        uncertain = isinstance(leaf, LastReceivedWithTag) and leaf.span.before is not None
        negative = scope.flipped ^ (not leaf.has)
        if gone and (negative or uncertain):
            return self._legacy(leaf, gone, scope)
        if hidden and (negative or uncertain):
            return self._hidden(leaf, hidden, scope)
        self._exclude(leaf, [*gone, *hidden], scope)
        visible = [(key, view) for key, view in found if not view.hidden | view.legacy_deleted]
        self.pins.update((key, view.version) for key, view in visible)
        return Question(leaf, tuple(key for key, _ in visible))

    def _hidden(self, leaf: Leaf, views: list[tuple[str, SourceView]], scope: _Scope) -> Step:
        negative = scope.flipped ^ (not leaf.has)
        if self.on_expired is OnExpired.EXCLUDE and not negative:
            self._exclude(leaf, views, scope)
            # Below an odd number of `not` it is everybody who can only shorten the answer.
            return Constant(scope.flipped)
        states = ", ".join(f"{key} is {view.state}" for key, view in views)
        return self._refuse(Code.SOURCE_HIDDEN, leaf, scope, states, views)

    def _legacy(self, leaf: Leaf, views: list[tuple[str, SourceView]], scope: _Scope) -> Step:
        names = ", ".join(key for key, _ in views)
        detail = f"{names}: deleted for good under the older policy; no restore brings it back"
        return self._refuse(Code.LEGACY_DELETED, leaf, scope, detail, views)

    def _exclude(self, leaf: Leaf, views: list[tuple[str, SourceView]], scope: _Scope) -> None:
        place = scope.place(leaf)
        self.excluded.extend(Excluded(key, leaf.name, place) for key, _ in views)

    def _refuse(
        self,
        code: Code,
        leaf: Leaf,
        scope: _Scope,
        detail: str,
        views: list[tuple[str, SourceView]] | None = None,
    ) -> Step:
        sources: tuple[tuple[str, State], ...] = tuple((k, view.state) for k, view in views or ())
        self.refusals.append(Refusal(code, scope.place(leaf), leaf.name, detail, sources))
        return _NOBODY


def _some(names: frozenset[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:10]) + (", ..." if len(listed) > 10 else "")
