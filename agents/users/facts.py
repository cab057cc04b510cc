"""One shard's data about some users."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from agents.users.person import Person

__all__ = ["ArchivedUser", "UserFacts", "UsersRead"]


@dataclass(frozen=True, slots=True)
class UserFacts:
    """One user's data in the user's shard.

    `person` is None if the roster does not have the user. `rows` are folded, of visible sources and
    of the profile-wide table; `hidden` counts rows by hidden source. `others` are the ids that were
    merged into this user: with them, all data is that of the person.
    """

    user: str
    person: Person | None
    rows: pl.DataFrame
    hidden: Mapping[str, int]
    feed_views: int
    others: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the user is in the roster or in any event."""
        return self.person is not None or self.rows.height > 0 or bool(self.hidden)


@dataclass(frozen=True, slots=True)
class UsersRead:
    """Users of one shard. `archived` are the hidden sources with rows in the shard's archive; which
    users these rows belong to is unknown until a restore.
    """

    facts: Mapping[str, UserFacts]
    archived: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArchivedUser:
    """What a shard's hidden sources have of one user. `rows` are folded, in `interaction.SCHEMA`.

    `sources` are the hidden sources with archived rows; `segments` and `bytes` are what was read in
    the archive for this answer. `damaged` has a source and a line for each record that could not be
    read: the rows lack what it holds.
    """

    rows: pl.DataFrame
    sources: tuple[str, ...] = ()
    segments: int = 0
    bytes: int = 0
    damaged: tuple[tuple[str, str], ...] = ()
