"""The identity of a user, from the roster."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from schemas.tables.roster import Alias

__all__ = ["Match", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """The last roster row of one user. `merged_into` is the user into whom this one was merged.

    If the users topic has no record of the user, `external` comes from events.
    """

    user: str
    external: str | None = None
    aliases: tuple[Alias, ...] = ()
    merged_into: str | None = None
    deleted: bool = False
    in_roster: bool = True

    def to_json(self) -> dict[str, Any]:
        """The JSON that workers send to each other."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Person":
        """The person in JSON that `to_json` wrote."""
        return cls(**{**fields, "aliases": tuple(Alias(*each) for each in fields["aliases"])})


@dataclass(frozen=True, slots=True)
class Match:
    """A user with an identifier: `by` is `external` or `alias`, which has a label too. `in_roster`:
    the identifier comes from the users topic, and not only from events.
    """

    by: str
    identifier: str
    user: str
    label: str = ""
    in_roster: bool = True
