"""Times: the one rule for incoming ones, UTC milliseconds, neither seconds nor microseconds; and
their text.

Events obey the same rule over columns (`schemas.decode.check`).
"""

from datetime import datetime, timedelta
from functools import lru_cache

__all__ = ["EARLIEST", "FARTHEST", "LATENESS", "LATEST", "fault", "iso"]

EARLIEST = 946_684_800_000
"""2000-01-01 in milliseconds: an earlier time is a time in seconds."""
LATEST = 253_402_300_799_999
"""The end of the year 9999: no calendar has a later time."""
LATENESS = 86_400_000
"""How far, in milliseconds, an event's time may lie after its broker timestamp."""
FARTHEST = 4_102_444_800_000
"""2100-01-01 in milliseconds: a later time is a sign of microseconds."""

_EPOCH = datetime(1970, 1, 1)  # without a zone, as `isoformat` would write it


def fault(name: str, value: int | None, *, now: int | None = None) -> str | None:
    """The fault of the time in the field `name`, or None.

    With `now` (UTC ms) a time may be at most a day ahead of it; without `now`, anywhere before
    2100.
    """
    if value is None:
        return None
    if value < EARLIEST:
        return f"{name} {value} is before 2000-01-01: seconds where milliseconds are meant?"
    if value >= FARTHEST:
        return f"{name} {value} is after 2099: microseconds where milliseconds are meant?"
    if now is not None and value > now + LATENESS:
        return f"{name} {value} is more than a day ahead"
    return None


@lru_cache(4_096)  # the same few moments stand all over a profile
def iso(ms: int | None) -> str | None:
    """UTC milliseconds as RFC 3339 with milliseconds: `2026-03-01T09:00:00.000Z`."""
    if ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"
