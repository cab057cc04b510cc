"""What an evaluation reads of one shard."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import polars as pl

from agents.filters.roster import Roster

__all__ = ["Data"]


class Data(Protocol):
    """One shard as of one moment, its users already mapped to those they were merged into.

    Chunks need not be folded, sorted or disjoint: the same key may stand in several rows. No
    chunk is kept. The methods may be called from several threads at once.
    """

    def roster(self) -> Roster:
        """Every live user of this shard: those of the `users` topic and those seen in events,
        less deleted and merged ones. Rows of others are ignored; `user` has everywhere the type
        that it has here, String or Binary."""

    def rows(self, source: str, columns: Sequence[str], where: pl.Expr) -> Iterator[pl.DataFrame]:
        """The rows of a source, with these columns of `schemas.tables.interaction.SCHEMA` at least.

        All rows of which `where` is true; others do no harm.
        """

    def profile(self, columns: Sequence[str], kinds: Collection[str]) -> Iterator[pl.DataFrame]:
        """Rows of the profile-wide table, with these columns of `PROFILE_SCHEMA` at least.

        All rows of these kinds; rows of other kinds do no harm.
        """

    def feed_views(self) -> pl.DataFrame:
        """`user` and `count`, Int64: how often each viewed the feed. Counts of the same user
        add up; who is missing has none."""
