"""The users of a shard, and marks on them."""

import polars as pl

__all__ = ["Roster"]


class Roster:
    """Unique users in a fixed order; marks are series as long as it is.

    Shared by threads: nothing here changes once it is made.
    """

    def __init__(self, users: pl.Series) -> None:
        self.users = users.rename("user")
        self._frame = self.users.to_frame().with_row_index("index")

    def __len__(self) -> int:
        return len(self.users)

    def blank(self) -> pl.Series:
        """No marks: 0 for each user, UInt8."""
        return pl.repeat(0, len(self), dtype=pl.UInt8, eager=True)

    def everybody(self) -> pl.Series:
        """True for each user."""
        return pl.repeat(True, len(self), dtype=pl.Boolean, eager=True)

    def those(self, users: pl.DataFrame) -> pl.Series:
        """The indexes of the users in column `user`, each once, in no order."""
        return self._frame.join(users, on="user", how="semi")["index"]

    def located(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of users in the roster, with their `index` in place of `user`."""
        return frame.join(self._frame, on="user", how="inner").drop("user")
