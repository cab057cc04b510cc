"""Who a user is, as the roster says."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Match", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """The last word on one user. `merged_into` is the user that this one has become."""

    user: str
    external: str | None = None
    aliases: tuple[str, ...] = ()
    merged_into: str | None = None
    deleted: bool = False

    def to_json(self) -> dict[str, Any]:
        """As workers send it to each other."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Person":
        """What `to_json` wrote."""
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})


@dataclass(frozen=True, slots=True)
class Match:
    """A user who bears an identifier. `by` is `external` or `alias`."""

    by: str
    identifier: str
    user: str
