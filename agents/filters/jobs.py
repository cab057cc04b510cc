"""Compiles a plan's tree to one Polars expression, and to the scans that fill the columns it
reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from agents.filters.meaning import meaning
from agents.filters.measures import Compares, Measure
from agents.filters.plan_nodes import AllOf, AnyOf, Complement, Constant, LeafQuery, PlanNode

__all__ = ["EVERYBODY", "Compiled", "Job", "compiled"]

EVERYBODY = "everybody"
"""The column that is true for each user."""
_TOGETHER = 16

Scope = tuple[str, ...] | None
"""The sources whose rows count; None for the profile-wide table."""


@dataclass(frozen=True, slots=True)
class Job:
    """One pass over the rows of these sources, or of the profile-wide table if `sources` is None.
    It answers these measures; each belongs to a column. `views` are answered by the feed views.
    """

    sources: Scope
    measures: tuple[tuple[str, Measure], ...]
    views: bool = False


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression over boolean columns that says which users match, and the jobs that make the
    columns.

    If several jobs make one column, it is true if one of them says so.
    """

    matches: pl.Expr
    columns: tuple[str, ...]
    jobs: tuple[Job, ...]


def compiled(tree: PlanNode) -> Compiled:
    """The jobs of a plan, which read every source exactly once, and the expression over their
    columns.
    """
    asked = _Asked()
    matches = asked.expression(tree)
    return Compiled(matches, tuple(asked.columns.values()), tuple(asked.jobs()))


class _Asked:
    def __init__(self) -> None:
        self.columns: dict[tuple[Scope, Measure], str] = {}

    def expression(self, step: PlanNode) -> pl.Expr:
        everybody = pl.col(EVERYBODY)
        match step:
            case AllOf(parts):
                return pl.all_horizontal(everybody, *map(self.expression, parts))
            case AnyOf(parts):
                return pl.any_horizontal(~everybody, *map(self.expression, parts))
            case Complement(part):
                return ~self.expression(part)
            case Constant(everyone):
                return everybody if everyone else ~everybody
            case LeafQuery(leaf, sources):
                if sources is not None and not sources:
                    return meaning(leaf, lambda _: ~everybody)
                return meaning(leaf, lambda measure: self._ask(sources, measure))
        raise TypeError(f"{type(step).__name__} is no step of a plan")

    def _ask(self, scope: Scope, measure: Measure) -> pl.Expr:
        name = self.columns.setdefault((scope, measure), f"{len(self.columns)}")
        return pl.col(name)

    def jobs(self) -> Iterator[Job]:
        by_source: dict[str, list[tuple[str, Measure]]] = {}
        profile: list[tuple[str, Measure]] = []
        views: list[tuple[str, Measure]] = []
        for (scope, measure), name in self.columns.items():
            if scope is not None:
                for source in scope:
                    by_source.setdefault(source, []).append((name, measure))
            elif isinstance(measure, Compares):
                views.append((name, measure))
            else:
                profile.append((name, measure))
        alike: dict[tuple[tuple[str, Measure], ...], list[str]] = {}
        for source, wanted in by_source.items():
            alike.setdefault(tuple(wanted), []).append(source)
        for measures, sources in alike.items():
            # Sources of a tag are many and often small: they share marks on the roster.
            for at in range(0, len(sources), _TOGETHER):
                yield Job(tuple(sources[at : at + _TOGETHER]), measures)
        if profile:
            yield Job(None, tuple(profile))
        if views:
            yield Job(None, tuple(views), views=True)
