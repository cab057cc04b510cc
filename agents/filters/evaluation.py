"""Finds the matching users of one shard."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce

import polars as pl

from agents.filters.data import Data
from agents.filters.jobs import EVERYBODY, Job, compiled
from agents.filters.measures import Compares, ConvertedSince, Measure, Rows, StillSet
from agents.filters.order import rounds
from agents.filters.plan_nodes import FilterPlan, PlanNode
from agents.filters.roster import Roster
from agents.filters.tally import ConvertedTally, RowsTally, StillSetTally, Tally

__all__ = ["Marks", "Runner", "evaluate"]

Marks = dict[str, pl.Series]
"""Boolean marks on the roster, by column."""
Runner = Callable[[Callable[[Job], Marks], Iterable[Job]], Iterable[Marks]]
"""`map`, or the `map` of an executor of threads: jobs do not depend on each other."""


def evaluate(plan: FilterPlan, data: Data, run: Runner = map) -> pl.Series:
    """The users of one shard that match: unique, String, in ascending order.

    Every source is read once, for all leaves on it, and not at all if no remaining user can match.
    Memory: the roster, some bits for each of its users and each leaf, and a buffer of rows for each
    running job (about as many rows as the roster has, at least two million).
    """
    roster = data.roster()
    for step in rounds(plan.tree):
        if len(roster):
            roster = roster.filter(_matches(step, roster, data, run))
    return roster.texts()


def _matches(step: PlanNode, roster: Roster, data: Data, run: Runner) -> pl.Series:
    todo = compiled(step)
    marks: Marks = {EVERYBODY: roster.everybody()}
    for answer in run(partial(_work, roster, data), todo.jobs):
        for name, found in answer.items():
            marks[name] = marks[name] | found if name in marks else found
    return pl.DataFrame(marks).select(todo.matches).to_series()


def _work(roster: Roster, data: Data, job: Job) -> Marks:
    if job.views:
        return _views(roster, data, job)
    tallies = list(_tallies(roster, job.measures))
    for chunk in _chunks(data, job):
        for _, tally in tallies:
            tally.take(chunk)
    return {
        name: marks
        for names, tally in tallies
        for name, marks in zip(names, tally.close(), strict=True)
    }


def _tallies(
    roster: Roster, measures: Sequence[tuple[str, Measure]]
) -> Iterator[tuple[list[str], Tally]]:
    rows = {name: measure for name, measure in measures if isinstance(measure, Rows)}
    if rows:
        yield list(rows), RowsTally(roster, list(rows.values()))
    for name, measure in measures:
        if isinstance(measure, ConvertedSince):
            yield [name], ConvertedTally(roster, measure)
        elif isinstance(measure, StillSet):
            yield [name], StillSetTally(roster, measure)


def _chunks(data: Data, job: Job) -> Iterator[pl.DataFrame]:
    asked = [m for _, m in job.measures if isinstance(m, Rows | ConvertedSince | StillSet)]
    columns = sorted({"user"}.union(*(measure.columns() for measure in asked)))
    if job.sources is None:
        kinds = frozenset[str]().union(*(measure.all_kinds() for measure in asked))
        yield from data.profile(columns, kinds)
        return
    where = reduce(pl.Expr.or_, (measure.expression() for measure in asked))
    for source in job.sources:
        yield from data.rows(source, columns, where)


def _views(roster: Roster, data: Data, job: Job) -> Marks:
    viewed = roster.located(data.feed_views())
    counts = viewed.group_by("index").agg(pl.col("count").sum())
    found = pl.repeat(0, len(roster), dtype=pl.Int64, eager=True)
    found.scatter(counts["index"], counts["count"].cast(pl.Int64))
    frame = found.to_frame("count")
    asked = {name: m.expression() for name, m in job.measures if isinstance(m, Compares)}
    return frame.select(**asked).to_dict()
