"""What a shard is asked about users who take part in merges, and the parts of its answer."""

from dataclasses import dataclass, field

import polars as pl

__all__ = ["NO_MEMBERS", "AudiencePart", "Members"]


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The users of a shard who take part in merges, of this shard or of others: String, unique.

    `first`: what is found of them comes before all other users.
    """

    users: pl.Series = field(default_factory=lambda: pl.Series("user", [], dtype=pl.String))
    first: bool = False


NO_MEMBERS = Members()


@dataclass(frozen=True, slots=True, eq=False)
class AudiencePart:
    """Users who match, ascending, and never a member; or `findings` about members, in
    `agents.filters.tally.FINDINGS`, whose `at` is their number in `Members.users`.
    """

    users: pl.Series | None = None
    findings: pl.DataFrame | None = None
