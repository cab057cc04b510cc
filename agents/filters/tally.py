"""Answers measures from chunks of rows, in memory proportional to the roster."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import polars as pl

from agents.filters.measures import Compares, ConvertedSince, Rows, StillSet
from agents.filters.roster import Roster

__all__ = ["FINDINGS", "ConvertedTally", "RowsTally", "StillSetTally", "Tally", "ViewsTally"]

FINDINGS = pl.Schema(
    {
        "at": pl.UInt32,
        "measure": pl.Int32,
        "detail": pl.String,
        "one": pl.Int64,
        "two": pl.Int64,
    }
)
"""What is known of one user and one measure, so that it can be put together with what is known of
the same person under other ids; `at` is the user's number.

    Rows             a row is there: it matches
    ConvertedSince   `one` the last conversion, `two` the last receipt
    StillSet         for each `detail`: `one` when it was last set, `two` when it was last cleared
    Compares         `one` feed views
"""

_LEAST_HELD = 2_000_000
_NEVER = -(2**63)


class Tally(ABC):
    """Takes chunks, one after another; returns marks on the roster at the end.

    Between chunks it holds at most as many rows as the roster has users, or two million.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._waiting: list[pl.DataFrame] = []
        self._held = 0

    def take(self, chunk: pl.DataFrame) -> None:
        """Add the relevant rows of `chunk`."""
        found = self._relevant(chunk)
        if not found.height:
            return
        self._waiting.append(found)
        # Even a few rows keep the texts of their whole chunk in memory.
        self._held += chunk.height
        if self._held >= max(_LEAST_HELD, len(self._roster)):
            self._flush()

    def close(self) -> list[pl.Series]:
        """Boolean marks, one series for each measure."""
        self._flush()
        return self._marks()

    @abstractmethod
    def found(self, members: pl.DataFrame) -> list[pl.DataFrame]:
        """After `close`, for each measure what was found of some users: `at`, `detail`, `one` and
        `two` of FINDINGS. `members` has the users' `index` in the roster, and `at`.
        """

    @abstractmethod
    def absorb(self, found: pl.DataFrame) -> None:
        """Add what was found elsewhere, for the only measure: `index`, `detail`, `one`, `two`."""

    def _flush(self) -> None:
        if self._waiting:
            # At once: a few rows cost as much to look up as many.
            self._mark(self._roster.located(pl.concat(self._waiting)))
        self._waiting, self._held = [], 0

    @abstractmethod
    def _relevant(self, chunk: pl.DataFrame) -> pl.DataFrame:
        """The part of a chunk to keep until the next flush."""

    @abstractmethod
    def _mark(self, rows: pl.DataFrame) -> None:
        """Process relevant rows; they have `index` instead of `user`."""

    @abstractmethod
    def _marks(self) -> list[pl.Series]:
        """The answers."""


class RowsTally(Tally):
    """Several `Rows` at once: users are looked up in the roster once for all of them."""

    def __init__(self, roster: Roster, measures: Sequence[Rows]) -> None:
        super().__init__(roster)
        self._found = [roster.blank() for _ in measures]
        self._flags = [measure.expression().alias(f"{at}") for at, measure in enumerate(measures)]

    def _relevant(self, chunk: pl.DataFrame) -> pl.DataFrame:
        if len(self._flags) == 1:
            return chunk["user"].filter(chunk.select(self._flags).to_series()).to_frame()
        flagged = chunk.select("user", *self._flags)
        return flagged.filter(pl.any_horizontal(pl.exclude("user")))

    def _mark(self, rows: pl.DataFrame) -> None:
        if len(self._flags) == 1:
            self._found[0].scatter(rows["index"], 1)
            return
        for at, found in enumerate(self._found):
            found.scatter(rows["index"].filter(rows[f"{at}"]), 1)

    def _marks(self) -> list[pl.Series]:
        return [found != 0 for found in self._found]

    def found(self, members: pl.DataFrame) -> list[pl.DataFrame]:
        """See Tally."""
        there = [found.gather(members["index"]) != 0 for found in self._found]
        return [_finding(members.filter(marks)) for marks in there]

    def absorb(self, found: pl.DataFrame) -> None:
        """See Tally."""
        self._found[0].scatter(found["index"], 1)


class ConvertedTally(Tally):
    """One `ConvertedSince`: the latest time of both sides for each user."""

    def __init__(self, roster: Roster, measure: ConvertedSince) -> None:
        super().__init__(roster)
        self._sides = {
            "converted": measure.conversions().expression(),
            "received": measure.receipts().expression(),
        }
        self._latest = {
            side: pl.repeat(_NEVER, len(roster), dtype=pl.Int64, eager=True) for side in self._sides
        }

    def _relevant(self, chunk: pl.DataFrame) -> pl.DataFrame:
        rows = chunk.select(
            "user",
            *(pl.when(rows).then("last").alias(side) for side, rows in self._sides.items()),
        ).filter(pl.any_horizontal(pl.col(*self._sides).is_not_null()))
        if not rows["user"].is_sorted():
            return rows
        return rows.set_sorted("user").group_by("user").agg(pl.col(*self._sides).max())

    def _mark(self, rows: pl.DataFrame) -> None:
        latest = rows.group_by("index").agg(pl.col(*self._sides).max())
        for side, known in self._latest.items():
            here = latest.select("index", side).drop_nulls()
            index, times = here["index"], here[side]
            later = times > known.gather(index)
            known.scatter(index.filter(later), times.filter(later))

    def _marks(self) -> list[pl.Series]:
        converted, received = self._latest["converted"], self._latest["received"]
        return [(converted != _NEVER) & (converted >= received)]

    def found(self, members: pl.DataFrame) -> list[pl.DataFrame]:
        """See Tally."""
        times = {
            name: self._latest[side].gather(members["index"])
            for name, side in (("one", "converted"), ("two", "received"))
        }
        frame = members.with_columns(**times)
        known = pl.any_horizontal(pl.col(*times) != _NEVER)
        return [_finding(frame.filter(known), *times)]

    def absorb(self, found: pl.DataFrame) -> None:
        """See Tally."""
        self._mark(found.select("index", converted="one", received="two"))


class StillSetTally(Tally):
    """One `StillSet`: for each user and value, when it was last set and last cleared."""

    _columns = ("index", "detail", "set", "unset")

    def __init__(self, roster: Roster, measure: StillSet) -> None:
        super().__init__(roster)
        self._rows = measure.expression()
        self._latest: list[pl.DataFrame] = []

    def _relevant(self, chunk: pl.DataFrame) -> pl.DataFrame:
        return chunk.filter(self._rows).select(
            "user",
            "detail",
            pl.when(~pl.col("cleared")).then("last").alias("set"),
            pl.when("cleared").then("last").alias("unset"),
        )

    def _mark(self, rows: pl.DataFrame) -> None:
        everything = pl.concat([*self._latest, rows.select(self._columns)])
        latest = everything.group_by("index", "detail").agg(pl.col("set", "unset").max())
        self._latest = [latest.select(self._columns)]

    def _marks(self) -> list[pl.Series]:
        found = self._roster.blank()
        for latest in self._latest:
            stands = pl.col("set") > pl.col("unset").fill_null(_NEVER)
            found.scatter(latest.filter(stands)["index"].unique(), 1)
        return [found != 0]

    def found(self, members: pl.DataFrame) -> list[pl.DataFrame]:
        """See Tally."""
        if not self._latest:
            return [_finding(members.clear())]
        rows = self._latest[0].join(members, on="index")
        return [_finding(rows.rename({"set": "one", "unset": "two"}), "detail", "one", "two")]

    def absorb(self, found: pl.DataFrame) -> None:
        """See Tally."""
        self._mark(found.rename({"one": "set", "two": "unset"}))


class ViewsTally(Tally):
    """Several `Compares`: the number of feed views of each user, from chunks of counts."""

    def __init__(self, roster: Roster, measures: Sequence[Compares]) -> None:
        super().__init__(roster)
        self._asked = measures
        self._count = pl.repeat(0, len(roster), dtype=pl.Int64, eager=True)

    def _relevant(self, chunk: pl.DataFrame) -> pl.DataFrame:
        return chunk

    def _mark(self, rows: pl.DataFrame) -> None:
        counts = rows.group_by("index").agg(pl.col("count").sum().cast(pl.Int64))
        known = self._count.gather(counts["index"])
        self._count.scatter(counts["index"], known + counts["count"])

    def _marks(self) -> list[pl.Series]:
        frame = self._count.to_frame("count")
        return [frame.select(each.expression()).to_series() for each in self._asked]

    def found(self, members: pl.DataFrame) -> list[pl.DataFrame]:
        """See Tally."""
        viewed = members.with_columns(one=self._count.gather(members["index"]))
        return [_finding(viewed.filter(pl.col("one") != 0), "one")] * len(self._asked)

    def absorb(self, found: pl.DataFrame) -> None:
        """See Tally."""
        self._mark(found.select("index", count="one"))


def _finding(rows: pl.DataFrame, *given: str) -> pl.DataFrame:
    names = ("detail", "one", "two")
    return rows.select(
        "at",
        *(name if name in given else pl.lit(None, FINDINGS[name]).alias(name) for name in names),
    )
