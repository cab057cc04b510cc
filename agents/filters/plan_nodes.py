"""A plan: a filter that can be evaluated, and the versions that it was planned against."""

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
    """The whole roster, or no user: replaces a leaf that was left out."""

    everybody: bool


@dataclass(frozen=True, slots=True)
class LeafQuery:
    """One leaf, and the sources whose rows answer it; None: the profile-wide table."""

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
    """A hidden source that an answer leaves out, and the leaf that names it."""

    source: str
    filter: str
    at: FilterPath


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """An expanded filter: segments are replaced by their filters, times are in milliseconds.

    `pins` are the sources whose rows are read, with the version of each (None: no lifecycle record
    yet); every shard must hold exactly these. `excluded_expired` are the sources that the answer
    leaves out; with them the answer could only be longer.
    """

    tree: PlanNode
    now_ms: int
    pins: Mapping[str, int | None]
    excluded_expired: tuple[Excluded, ...] = ()
