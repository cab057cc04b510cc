"""Finds the matching users of one shard."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial, reduce

import polars as pl

from agents.filters.data import Data
from agents.filters.jobs import EVERYBODY, Job, compiled
from agents.filters.measures import Compares, ConvertedSince, Measure, Rows, StillSet
from agents.filters.order import rounds
from agents.filters.plan_nodes import FilterPlan, PlanNode
from agents.filters.roster import Roster
from agents.filters.tally import (
    FINDINGS,
    ConvertedTally,
    RowsTally,
    StillSetTally,
    Tally,
    ViewsTally,
)

__all__ = ["PRESENT", "Look", "Marks", "Runner", "evaluate", "examine", "measure_number", "tallies"]

Marks = dict[str, pl.Series]
"""Boolean marks on the roster, by column."""
_Found = tuple[Marks, list[pl.DataFrame]]
Runner = Callable[[Callable[[Job], _Found], Iterable[Job]], Iterable[_Found]]
"""`map`, or the `map` of an executor of threads: jobs do not depend on each other."""

PRESENT = -1
"""The measure that says of a member: there is such a user."""
_MOST_COLUMNS = 1 << 16


class Look(Enum):
    """At which users of a roster an evaluation looks."""

    ALL = "all"
    MEMBERS = "members"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class _Watched:
    """The members in the roster of one round, `index` and `at`, and the number of the round."""

    members: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"index": pl.UInt32, "at": pl.UInt32})
    )
    round: int = 0


_NONE = _Watched()


def evaluate(plan: FilterPlan, data: Data, run: Runner = map) -> pl.Series:
    """The users of one shard that match: unique, String, in ascending order.

    Every source is read once, for all leaves on it, and not at all if no remaining user can match.
    Memory: the roster, some bits for each of its users and each leaf, and a buffer of rows for each
    running job (about as many rows as the roster has, at least two million).
    """
    roster = data.roster()
    for step in rounds(plan.tree):
        if len(roster):
            matches, _ = _matches(step, roster, data, run, _NONE)
            roster = roster.filter(matches)
    return roster.texts()


def examine(
    plan: FilterPlan, data: Data, members: pl.DataFrame, look: Look, run: Runner = map
) -> tuple[pl.Series, pl.DataFrame]:
    """As `evaluate`, without the members: users who have rows under other ids too. Of those that
    the roster has, FINDINGS say all that the plan asks; `agents/filters/combining.py` decides.

    `members` has their number `at`, and the columns of the roster. With a look at some of the users
    alone, the other half of the answer is empty.
    """
    roster = data.roster()
    found: list[pl.DataFrame] = [pl.DataFrame(schema=FINDINGS)]
    among = roster.located(members)
    if look is not Look.ALL:
        marks = _marked(roster, among)
        roster = roster.filter(marks if look is Look.MEMBERS else ~marks)
        among = roster.located(members)
    found.append(_findings(among.select("at"), PRESENT))
    for number, step in enumerate(rounds(plan.tree)):
        if not len(roster):
            break
        watched = _Watched(among, number)
        matches, more = _matches(step, roster, data, run, watched)
        found += more
        # of the members all is asked, whatever the first leaves say: their other ids may differ
        roster = roster.filter(matches | _marked(roster, among))
        among = roster.located(members)
    users = roster.filter(~_marked(roster, among)).texts()
    return users, pl.concat(found)


def measure_number(round_: int, column: str) -> int:
    """The number by which findings name a column of a round."""
    return round_ * _MOST_COLUMNS + int(column)


def tallies(
    roster: Roster, measures: Sequence[tuple[str, Measure]]
) -> Iterator[tuple[list[str], Tally]]:
    """The tallies that answer these measures, each with the columns of its marks."""
    rows = {name: measure for name, measure in measures if isinstance(measure, Rows)}
    if rows:
        yield list(rows), RowsTally(roster, list(rows.values()))
    views = {name: measure for name, measure in measures if isinstance(measure, Compares)}
    if views:
        yield list(views), ViewsTally(roster, list(views.values()))
    for name, measure in measures:
        if isinstance(measure, ConvertedSince):
            yield [name], ConvertedTally(roster, measure)
        elif isinstance(measure, StillSet):
            yield [name], StillSetTally(roster, measure)


def _marked(roster: Roster, among: pl.DataFrame) -> pl.Series:
    marks = roster.blank()
    marks.scatter(among["index"], 1)
    return marks != 0


def _matches(
    step: PlanNode, roster: Roster, data: Data, run: Runner, watched: _Watched
) -> tuple[pl.Series, list[pl.DataFrame]]:
    todo = compiled(step)
    marks: Marks = {EVERYBODY: roster.everybody()}
    findings: list[pl.DataFrame] = []
    for answer, more in run(partial(_work, roster, data, watched), todo.jobs):
        for name, found in answer.items():
            marks[name] = marks[name] | found if name in marks else found
        findings += more
    return pl.DataFrame(marks).select(todo.matches).to_series(), findings


def _work(roster: Roster, data: Data, watched: _Watched, job: Job) -> _Found:
    asked = list(tallies(roster, job.measures))
    for chunk in [data.feed_views()] if job.views else _chunks(data, job):
        for _, tally in asked:
            tally.take(chunk)
    marks = {
        name: each
        for names, tally in asked
        for name, each in zip(names, tally.close(), strict=True)
    }
    if not watched.members.height:
        return marks, []
    return marks, [
        _findings(each, measure_number(watched.round, name))
        for names, tally in asked
        for name, each in zip(names, tally.found(watched.members), strict=True)
        if each.height
    ]


def _findings(rows: pl.DataFrame, measure: int) -> pl.DataFrame:
    missing = [
        pl.lit(None, FINDINGS[name]).alias(name) for name in FINDINGS if name not in rows.columns
    ]
    found = rows.with_columns(missing).with_columns(measure=pl.lit(measure, pl.Int32))
    return found.select(FINDINGS.names())


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
