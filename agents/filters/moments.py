"""The times in a filter: a moment, or a period before now; ranges are half-open [after, before).

`P30D` is 30 x 24 hours; months and years are calendar ones in UTC, clamped to the month's end.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.filters.errors import FilterError
from schemas.errors import UsageError
from streams import period
from streams.period import Period

__all__ = ["ALWAYS", "Moment", "Span", "moment"]

Moment = int | Period
"""Milliseconds since 1970 UTC, or how long before now."""

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_REMEDY = (
    "Write a time such as 2026-05-01T00:00:00Z, or a duration back from now such as P30D or PT12H"
)


def moment(value: object, path: str) -> Moment:
    """The value of a `before` or `after`. Raises FilterError (`bad_time`)."""
    if not isinstance(value, str):
        raise FilterError(path, "bad_time", f"{value!r} is not a time", remedy=_REMEDY)
    if value.startswith("P"):
        try:
            return period.parse(value)
        except UsageError as error:
            raise FilterError(path, "bad_time", error.message, remedy=_REMEDY) from error
    found = _RFC3339.fullmatch(value)
    try:
        if found is None:
            raise ValueError("not in the form of RFC 3339")
        date, time, fraction, zone = found.groups()
        whole = datetime.fromisoformat(f"{date}T{time}{zone.upper()}")
        since = (whole - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        detail = f"{value!r} is not a time: {error}"
        raise FilterError(path, "bad_time", detail, remedy=_REMEDY) from error
    # Events have whole milliseconds: both t >= x and t < x are those of x rounded up.
    digits = (fraction or "").ljust(3, "0")
    return since + int(digits[:3]) + (1 if digits[3:].strip("0") else 0)


def _back(now_ms: int, length: Period, path: str) -> int:
    back = Period(-length.years, -length.months, -length.days, -length.seconds)
    try:
        return period.add_ms(now_ms, back)
    except (UsageError, OverflowError) as error:
        detail = f"{length} before now lies before the year 1"
        raise FilterError(path, "bad_time", detail, remedy="Use a shorter duration") from error


@dataclass(frozen=True, slots=True)
class Span:
    """[after, before); a bound of None is open."""

    after: Moment | None = None
    before: Moment | None = None

    def __bool__(self) -> bool:
        """Whether there is a bound at all."""
        return self.after is not None or self.before is not None

    def at(self, now_ms: int, path: str) -> "Span":
        """The same span in milliseconds only; `path` is the leaf's.

        Raises FilterError for an empty span (`impossible_range`).
        """

        def fixed(bound: Moment | None, name: str) -> int | None:
            return _back(now_ms, bound, f"{path}.{name}") if isinstance(bound, Period) else bound

        return Span(fixed(self.after, "after"), fixed(self.before, "before")).checked(path)

    def checked(self, path: str) -> "Span":
        """The span itself, if its two bounds can be compared and are in order. Raises
        FilterError.
        """
        after, before = self.after, self.before
        if isinstance(after, int) and isinstance(before, int) and after >= before:
            raise FilterError(
                path,
                "impossible_range",
                "no moment is at or after `after` and before `before`",
                remedy="Let `after` be earlier than `before`",
            )
        return self

    def bounds(self) -> tuple[int | None, int | None]:
        """(after, before) in milliseconds. Raises TypeError before `at` has resolved them."""
        if isinstance(self.after, Period) or isinstance(self.before, Period):
            raise TypeError("a span with a duration has no bounds before `now` is known")
        return self.after, self.before


ALWAYS = Span()
"""No bound."""
