"""The users of a shard, and marks on them."""

import polars as pl

__all__ = ["Roster"]


class Roster:
    """Unique users in a fixed order; marks are series as long as it is.

    Shared by threads: nothing here changes once it is made. `whole` has the columns `user` and
    `index`.
    """

    def __init__(self, users: pl.Series) -> None:
        self.users = users.rename("user")
        self.whole = self.users.to_frame().with_row_index("index")

    def __len__(self) -> int:
        return len(self.users)

    def blank(self) -> pl.Series:
        """No marks: 0 for each user, UInt8."""
        return pl.repeat(0, len(self), dtype=pl.UInt8, eager=True)

    def everybody(self) -> pl.Series:
        """True for each user."""
        return pl.repeat(True, len(self), dtype=pl.Boolean, eager=True)
