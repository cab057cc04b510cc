"""Decides for persons whose rows lie under several ids, and so in several shards."""

from collections.abc import Iterable, Sequence

import polars as pl

from agents.filters.evaluation import PRESENT, measure_number, tallies
from agents.filters.jobs import EVERYBODY, Compiled, compiled
from agents.filters.measures import Measure
from agents.filters.order import rounds
from agents.filters.plan_nodes import FilterPlan
from agents.filters.roster import Roster

__all__ = ["matching"]


def matching(plan: FilterPlan, findings: pl.DataFrame) -> pl.Series:
    """The persons who match, as users who had all rows of all ids would: unique, in order.

    `findings` have `user` and `person` (neither null), and all columns of FINDINGS but `at`: those
    of all shards together. A person is there if the user is there whose id the person has.
    """
    own = (pl.col("measure") == PRESENT) & (pl.col("user") == pl.col("person"))
    there = findings.filter(own)["person"].unique().sort()
    roster = Roster(there.alias("user").to_frame())
    for number, step in enumerate(rounds(plan.tree)):
        if len(roster):
            todo = compiled(step)
            marks = {EVERYBODY: roster.everybody(), **_marks(roster, todo, findings, number)}
            roster = roster.filter(pl.DataFrame(marks).select(todo.matches).to_series())
    return roster.texts()


def _marks(
    roster: Roster, todo: Compiled, findings: pl.DataFrame, number: int
) -> dict[str, pl.Series]:
    marks: dict[str, pl.Series] = {}
    for name, measure in _measures(todo):
        found = findings.filter(pl.col("measure") == measure_number(number, name))
        rows = roster.located(found.select("detail", "one", "two", user="person"))
        ((_, tally),) = tallies(roster, [(name, measure)])
        tally.absorb(rows)
        (marks[name],) = tally.close()
    return marks


def _measures(todo: Compiled) -> Iterable[tuple[str, Measure]]:
    """Every column once: several jobs may make the same one."""
    found: dict[str, Measure] = {}
    for job in todo.jobs:
        found.update(job.measures)
    columns: Sequence[tuple[str, Measure]] = list(found.items())
    return columns
