"""Measures: questions about one user's rows that have the same answer for folded and unfolded rows.

Each measure is a fact that additional rows can only make true: some row exists, or a latest time is
after another. So duplicates and order do not matter, and chunks can be processed one by one.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Literal

import polars as pl

from agents.filters.nodes import Comparator, FactKind

__all__ = ["Compares", "ConvertedSince", "Measure", "Rows", "StillSet"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some row matches: it has one of the kinds, and equals each part that is not None.

    `since`: `last` is then or later. `until`: `first` is before that. `grouped`: a `detail` that
    continues after a colon matches as well. `named`: that column is not null.
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
        """The kinds of the relevant rows."""
        return frozenset(self.kinds)

    def expression(self) -> pl.Expr:
        """For each row true if it matches, else false or null."""
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
    """The last conversion (of that index; None: of any) is not before the last receipt.

    Also true without any receipt.
    """

    index: int | None

    def columns(self) -> frozenset[str]:
        """The columns that both sides read."""
        return self.conversions().columns() | self.receipts().columns() | {"last"}

    def all_kinds(self) -> frozenset[str]:
        """The kinds of the relevant rows."""
        return frozenset(("converted", "received"))

    def expression(self) -> pl.Expr:
        """The rows of both sides."""
        return self.conversions().expression() | self.receipts().expression()

    def conversions(self) -> Rows:
        """The conversion rows."""
        return Rows(("converted",), detail=None if self.index is None else str(self.index))

    def receipts(self) -> Rows:
        """The receipt rows."""
        return Rows(("received",))


@dataclass(frozen=True, slots=True)
class StillSet:
    """For some value (this one, if not None) the fact was set and not cleared since.

    A fact that is cleared at the moment it is set counts as cleared.
    """

    kind: FactKind
    value: str | None = None

    def columns(self) -> frozenset[str]:
        """The columns that it reads."""
        return frozenset(("kind", "detail", "cleared", "last"))

    def all_kinds(self) -> frozenset[str]:
        """The kinds of the relevant rows."""
        return frozenset((self.kind,))

    def expression(self) -> pl.Expr:
        """The rows that set or clear it."""
        found = pl.col("kind") == self.kind
        return found if self.value is None else found & (pl.col("detail") == self.value)


@dataclass(frozen=True, slots=True)
class Compares:
    """The number of feed views compares to `n` as the comparator says."""

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
