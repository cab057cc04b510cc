"""The users of a shard, and marks on them."""

import polars as pl

from schemas.segment.user_number import numbers

__all__ = ["Roster", "positions"]


def positions(run: pl.Series, keys: pl.Series) -> tuple[pl.Series, pl.Series]:
    """For each of `keys` its position in `run`, which is sorted and not empty, and whether it is
    there.
    """
    index = run.search_sorted(keys).clip(upper_bound=len(run) - 1)
    return index, run.gather(index) == keys


class Roster:
    """Unique users in ascending order; marks are series of the same length.

    `users` has the column `user`: String; or Binary of 12 bytes, with the column `number`
    (`schemas.segment.user_number`). Shared by threads: it never changes after its creation.
    """

    def __init__(self, users: pl.DataFrame) -> None:
        self._users = users
        self._numbered = "number" in users.columns
        self._keys = users["number" if self._numbered else "user"]

    def __len__(self) -> int:
        return len(self._keys)

    def texts(self) -> pl.Series:
        """The users, String."""
        users = self._users["user"]
        return users.bin.encode("hex") if self._numbered else users

    def filter(self, marks: pl.Series) -> "Roster":
        """The marked users."""
        return Roster(self._users.filter(marks))

    def located(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose user is here, with the `index` of that user instead of `user`."""
        others = [name for name in rows.columns if name != "user"]
        if not len(self):
            return rows.clear().with_columns(index=pl.lit(0, pl.UInt32)).select("index", *others)
        users = numbers(rows["user"]) if self._numbered else rows["user"]
        # Half of what a join costs: rows mostly come in order, if not in one.
        index, here = positions(self._keys, users)
        return pl.DataFrame([index.alias("index"), *(rows[name] for name in others)]).filter(here)

    def blank(self) -> pl.Series:
        """No marks: 0 for each user, UInt8."""
        return pl.repeat(0, len(self), dtype=pl.UInt8, eager=True)

    def everybody(self) -> pl.Series:
        """True for each user."""
        return pl.repeat(True, len(self), dtype=pl.Boolean, eager=True)
