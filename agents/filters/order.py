"""Orders the parts of a plan for evaluation: parts that leave few users come first."""

from collections.abc import Iterator

from agents.filters.plan_nodes import AllOf, AnyOf, Complement, Constant, LeafQuery, PlanNode

__all__ = ["rounds"]


def rounds(tree: PlanNode) -> list[PlanNode]:
    """Groups of plan nodes to evaluate one after another; each round evaluates only users that the
    earlier rounds have left.

    No source is in two rounds, nor is the profile-wide table, so each is read once.
    """
    groups: list[tuple[frozenset[str | None], list[PlanNode]]] = []
    for part in _parts(tree):
        scopes, together = frozenset(_scopes(part)), [part]
        apart = []
        for others, parts in groups:
            if others & scopes:
                scopes, together = scopes | others, parts + together
            else:
                apart.append((others, parts))
        groups = [*apart, (scopes, together)]
    groups.sort(key=_weight)
    return [parts[0] if len(parts) == 1 else AllOf(tuple(parts)) for _, parts in groups]


def _parts(step: PlanNode) -> Iterator[PlanNode]:
    if isinstance(step, AllOf):
        for part in step.parts:
            yield from _parts(part)
    else:
        yield step


def _scopes(step: PlanNode) -> Iterator[str | None]:
    """The sources that a plan node reads; None for the profile-wide table."""
    match step:
        case LeafQuery(_, sources):
            yield from (None,) if sources is None else sources
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _scopes(part)
        case Complement(part):
            yield from _scopes(part)


def _weight(group: tuple[frozenset[str | None], list[PlanNode]]) -> int:
    scopes, parts = group
    if not scopes:
        return 0
    if None in scopes:
        return 3  # it has rows of nearly everybody
    return 1 if any(map(_narrows, parts)) else 2


def _narrows(step: PlanNode) -> bool:
    """Whether only users with rows of some source can match."""
    match step:
        case LeafQuery(leaf, _):
            return leaf.has
        case AllOf(parts):
            return any(map(_narrows, parts))
        case AnyOf(parts):
            return all(map(_narrows, parts))
        case Constant(everybody):
            return not everybody
    return False
