"""What one shard knows of some users."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from agents.users.person import Person

__all__ = ["UserFacts", "UsersRead"]


@dataclass(frozen=True, slots=True)
class UserFacts:
    """One user in their shard.

    `person` is None where the roster does not name them. `rows` are folded, of visible sources
    and of the profile-wide table; `hidden` counts rows by hidden source.
    """

    user: str
    person: Person | None
    rows: pl.DataFrame
    hidden: Mapping[str, int]
    feed_views: int

    @property
    def known(self) -> bool:
        """Whether the roster names the user, or any event ever did."""
        return self.person is not None or self.rows.height > 0 or bool(self.hidden)


@dataclass(frozen=True, slots=True)
class UsersRead:
    """Users of one shard. `archived` are the hidden sources of which the shard's archive has
    rows: rows of these users may be among them without anybody knowing until a restore.
    """

    facts: Mapping[str, UserFacts]
    archived: tuple[str, ...] = ()
