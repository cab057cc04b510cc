"""Who a user is, as the roster says."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from schemas.tables.roster import Alias

__all__ = ["Match", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """The last word on one user. `merged_into` is the user that this one has become.

    Where the users topic says nothing of the user, `external` is what events say.
    """

    user: str
    external: str | None = None
    aliases: tuple[Alias, ...] = ()
    merged_into: str | None = None
    deleted: bool = False
    in_roster: bool = True

    @property
    def gone(self) -> bool:
        """Whether no answer shows this user any more: see `schemas.tables.roster.GONE`."""
        return self.deleted or self.became is not None

    @property
    def became(self) -> str | None:
        """The other user that this one has become."""
        return self.merged_into if self.merged_into not in ("", self.user) else None

    def to_json(self) -> dict[str, Any]:
        """As workers send it to each other."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Person":
        """What `to_json` wrote."""
        return cls(**{**fields, "aliases": tuple(Alias(*each) for each in fields["aliases"])})


@dataclass(frozen=True, slots=True)
class Match:
    """A user who bears an identifier: `by` is `external` or `alias`, which has a label too.
    `in_roster`: the users topic says so, and not only events."""

    by: str
    identifier: str
    user: str
    label: str = ""
    in_roster: bool = True
