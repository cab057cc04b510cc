"""What is asked of rows, per user, so that any mixture of folded and unfolded rows answers.

Each measure is a truth about a user that more rows can only add to: that some row exists, that
a latest time passes another. So duplicates and order do not matter, and chunks can be taken
one by one.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Literal

import polars as pl

from agents.filters.nodes import Comparator, FactKind

__all__ = ["Compares", "ConvertedSince", "Measure", "Rows", "StillSet"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some row is one of these: of any of the kinds, and of each part that is not None.

    `since`: `last` is then or later. `until`: `first` is before that. `grouped`: a `detail`
    that goes on after a colon is taken as well. `named`: that column, of any value, is not null.
    """

    kinds: tuple[str, ...]
    channel: str | None = None
    step: str | None = None
    variation: str | None = None
    detail: str | None = None
    origin: str | None = None
    cleared: bool | None = None
    since: int | None = None
    until: int | None = None
    grouped: bool = False
    named: Literal["variation", "detail"] | None = None

    def columns(self) -> frozenset[str]:
        """The columns that `expression` reads."""
        read = {"kind": True, "last": self.since is not None, "first": self.until is not None}
        for name in ("channel", "step", "variation", "detail", "origin", "cleared"):
            read[name] = getattr(self, name) is not None or self.named == name
        return frozenset(name for name, wanted in read.items() if wanted)

    def all_kinds(self) -> frozenset[str]:
        """The kinds of the rows that matter."""
        return frozenset(self.kinds)

    def expression(self) -> pl.Expr:
        """True, or else false or null, for each row."""
        found = reduce(pl.Expr.or_, (pl.col("kind") == kind for kind in self.kinds))
        for name in ("channel", "step", "variation", "origin", "cleared"):
            wanted = getattr(self, name)
            if wanted is not None:
                found &= pl.col(name) == wanted
        if self.detail is not None:
            detail = pl.col("detail")
            same = detail == self.detail
            found &= same | detail.str.starts_with(f"{self.detail}:") if self.grouped else same
        if self.named is not None:
            found &= pl.col(self.named).is_not_null()
        if self.since is not None:
            found &= pl.col("last") >= self.since
        if self.until is not None:
            found &= pl.col("first") < self.until
        return found


@dataclass(frozen=True, slots=True)
class ConvertedSince:
    """The last conversion (of that index, None: of any) is not before the last receipt.

    True without any receipt: there is none that the conversion could be older than.
    """

    index: int | None

    def columns(self) -> frozenset[str]:
        """The columns that the two sides read."""
        return self.conversions().columns() | self.receipts().columns() | {"last"}

    def all_kinds(self) -> frozenset[str]:
        """The kinds of the rows that matter."""
        return frozenset(("converted", "received"))

    def expression(self) -> pl.Expr:
        """The rows of either side."""
        return self.conversions().expression() | self.receipts().expression()

    def conversions(self) -> Rows:
        """The rows of one side."""
        return Rows(("converted",), detail=None if self.index is None else str(self.index))

    def receipts(self) -> Rows:
        """The rows of the other."""
        return Rows(("received",))


@dataclass(frozen=True, slots=True)
class StillSet:
    """For some value (that one, where it is not None) the fact was set and not cleared since.

    Cleared at the very moment it was set counts as cleared.
    """

    kind: FactKind
    value: str | None = None

    def columns(self) -> frozenset[str]:
        """The columns that it reads."""
        return frozenset(("kind", "detail", "cleared", "last"))

    def all_kinds(self) -> frozenset[str]:
        """The kinds of the rows that matter."""
        return frozenset((self.kind,))

    def expression(self) -> pl.Expr:
        """The rows that set or clear it."""
        found = pl.col("kind") == self.kind
        return found if self.value is None else found & (pl.col("detail") == self.value)


@dataclass(frozen=True, slots=True)
class Compares:
    """The number of feed views compares so with `n`."""

    comparator: Comparator
    n: int

    def expression(self) -> pl.Expr:
        """Over a column `count`."""
        count = pl.col("count")
        match self.comparator:
            case "<":
                return count < self.n
            case "<=":
                return count <= self.n
            case "=":
                return count == self.n
            case "!=":
                return count != self.n
            case ">=":
                return count >= self.n
            case ">":
                return count > self.n


Measure = Rows | ConvertedSince | StillSet | Compares
