"""The data of one shard that an evaluation reads."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import polars as pl

from agents.filters.roster import Roster

__all__ = ["Data"]


class Data(Protocol):
    """One shard as of one moment. Rows of merged users are already mapped to the other user.

    Chunks need not be folded, sorted or disjoint: the same key may be in several rows. The
    evaluation keeps no chunk. The methods may be called from several threads at once.
    """

    def roster(self) -> Roster:
        """Every live user of this shard: users of the `users` topic and users of events, without
        deleted and merged users. Rows of other users are ignored. `user` has the same type, String
        or Binary, in all frames.
        """

    def rows(self, source: str, columns: Sequence[str], where: pl.Expr) -> Iterator[pl.DataFrame]:
        """The rows of a source, with at least these columns of `schemas.tables.interaction.SCHEMA`.

        All rows for which `where` is true must be included; other rows do no harm.
        """

    def profile(self, columns: Sequence[str], kinds: Collection[str]) -> Iterator[pl.DataFrame]:
        """Rows of the profile-wide table, with at least these columns of `PROFILE_SCHEMA`.

        All rows of these kinds must be included; rows of other kinds do no harm.
        """

    def feed_views(self) -> pl.DataFrame:
        """`user` and `count`, Int64: the number of feed views of each user. Counts of the same user
        add up; a user without a row has none.
        """
