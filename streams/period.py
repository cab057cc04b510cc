"""ISO 8601 periods: calendar years and months, days, seconds.

A period with years or months has no fixed length in seconds. It is added to a moment in UTC; if the
resulting day does not exist, the last day of the month counts (30 Nov + P3M = 28 or 29 Feb).
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.errors import UsageError

__all__ = ["Period", "add", "add_ms", "milliseconds", "parse", "seconds"]

_NUMBER = r"(\d{1,9})"
_ISO = re.compile(
    rf"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?P<time>T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:(\d{{1,9}}(?:\.\d{{1,3}})?)S)?)?",
    re.ASCII,
)
_REMEDY = "Write an ISO 8601 period such as P3M (three months), P7D, PT1H or PT20S"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time: calendar years and months, then days, then seconds (down to a ms)."""

    years: int = 0
    months: int = 0
    days: int = 0
    seconds: float = 0

    def __str__(self) -> str:
        """The ISO 8601 text: `parse(str(period)) == period`."""
        parts = ((self.years, "Y"), (self.months, "M"), (self.days, "D"))
        date = "".join(f"{count}{unit}" for count, unit in parts if count)
        whole, millis = divmod(round(self.seconds * 1000), 1000)
        fraction = f".{millis:03}".rstrip("0") if millis else ""
        unit = "S"
        for longer in "MH":
            if whole and not fraction and whole % 60 == 0:
                whole, unit = whole // 60, longer
        time = f"T{whole}{fraction}{unit}" if whole or fraction or not date else ""
        return f"P{date}{time}"


def parse(text: "str | Period") -> Period:
    """Read an ISO 8601 period (a `Period` passes through).

    Raises UsageError for anything else, signs and fractions of days or months included.
    """
    if isinstance(text, Period):
        return text
    found = _ISO.fullmatch(text)
    if found is None or text.endswith(("P", "T")):
        raise UsageError(f"{text!r} is not a period", remedy=_REMEDY)
    years, months, weeks, days, _, hours, minutes, secs = found.groups()
    return Period(
        years=int(years or 0),
        months=int(months or 0),
        days=7 * int(weeks or 0) + int(days or 0),
        seconds=3600 * int(hours or 0) + 60 * int(minutes or 0) + _exact(secs or "0"),
    )


def _exact(text: str) -> float:
    return float(text) if "." in text else int(text)


def add(when: datetime, period: Period) -> datetime:
    """`when` + `period`, in UTC: months first, clamped to the month's end, then days, seconds.

    Raises ValueError for a `when` without a time zone, UsageError past the year 9999.
    """
    if when.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be added to")
    utc = when.astimezone(UTC)
    years, month = divmod(utc.month - 1 + period.months, 12)
    year = utc.year + period.years + years
    try:
        day = min(utc.day, monthrange(year, month + 1)[1])
        moved = utc.replace(year=year, month=month + 1, day=day)
        return moved + timedelta(days=period.days, milliseconds=round(period.seconds * 1000))
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{when:%Y-%m-%d} plus {period} lies past the year 9999",
            remedy="Set a shorter period",
        ) from error


def add_ms(when_ms: int, period: Period) -> int:
    """The same on UTC milliseconds since 1970."""
    moved = add(_EPOCH + timedelta(milliseconds=when_ms), period)
    return (moved - _EPOCH) // timedelta(milliseconds=1)


def seconds(period: Period) -> float:
    """Length in seconds, where a day has 86,400. Raises UsageError for a period with months or
    years.
    """
    if period.years or period.months:
        raise UsageError(
            f"{period} has no fixed length", remedy="Use days, hours, minutes and seconds here"
        )
    return period.days * 86_400 + period.seconds


def milliseconds(period: Period) -> int:
    """Length in milliseconds. Raises UsageError for a period with months or years."""
    return round(seconds(period) * 1000)
