"""What a plan is: a filter that can be evaluated, and what it was planned against."""

from collections.abc import Mapping
from dataclasses import dataclass

from agents.filters.nodes import Filter
from agents.filters.refusals import FilterPath

__all__ = [
    "AllOf",
    "AnyOf",
    "Complement",
    "Constant",
    "Excluded",
    "FilterPlan",
    "LeafQuery",
    "PlanNode",
]


@dataclass(frozen=True, slots=True)
class Constant:
    """Everybody in the roster, or nobody: a leaf that was dropped."""

    everybody: bool


@dataclass(frozen=True, slots=True)
class LeafQuery:
    """One leaf, and the sources whose rows answer it; None: the profile-wide table does."""

    leaf: Filter
    sources: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of them."""

    parts: tuple["PlanNode", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Any of them."""

    parts: tuple["PlanNode", ...]


@dataclass(frozen=True, slots=True)
class Complement:
    """The rest of the roster."""

    part: "PlanNode"


PlanNode = Constant | LeafQuery | AllOf | AnyOf | Complement


@dataclass(frozen=True, slots=True)
class Excluded:
    """A source whose hidden data an answer does without, and the leaf that asked for it."""

    source: str
    filter: str
    at: FilterPath


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """An expanded filter: segments replaced by their filters, times in milliseconds.

    `pins` are the sources whose rows are read, with the version of each (None: it has no
    lifecycle record yet): every shard must hold exactly those. `excluded_expired` is what the
    answer does without; it is then never longer than with it.
    """

    tree: PlanNode
    now_ms: int
    pins: Mapping[str, int | None]
    excluded_expired: tuple[Excluded, ...] = ()
