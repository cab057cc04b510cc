"""What a mapping says: which column of a foreign record gives which field of our record. Pure data.

A rule makes records of one kind. A field that a rule does not name takes the default of our schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Constant", "From", "Hashed", "Rule", "TimeFormat", "Value"]

Constant: TypeAlias = str | int | bool


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How a time is written: in a `unit` since 1970 (s, ms, us, ns), or in a `format` of strptime,
    in the time zone `zone` unless the text itself has one. A format `iso` is ISO 8601.
    """

    unit: str = ""
    format: str = ""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class From:
    """The value of `column`.

    `values` replaces texts; `*` stands for every other text, and without it another text is an
    error. Texts in `absent` are null. `rather` names a column whose value counts instead, where it
    has one. `behind` names a column whose value, if there is one, follows after a colon.
    """

    column: str
    values: Mapping[str, Constant] = field(default_factory=dict)
    absent: frozenset[str] = frozenset({""})
    time: TimeFormat | None = None
    rather: str = ""
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A text made from the values of `columns`: equal values give equal texts."""

    columns: tuple[str, ...]


Value: TypeAlias = From | Hashed | Constant


@dataclass(frozen=True, slots=True)
class Rule:
    """Makes records of `kind` (send, open, .., user) from the values of `fields`.

    A record without a value in one of `skip_without` is skipped, with that reason: it is complete
    and says nothing to emberline.
    """

    kind: str
    fields: Mapping[str, Value]
    skip_without: Mapping[str, str] = field(default_factory=dict)
