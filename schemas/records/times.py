"""The one rule for incoming times: UTC milliseconds, neither seconds nor microseconds.

Events obey the same rule over columns (`schemas.decode.check`).
"""

__all__ = ["EARLIEST", "FARTHEST", "LATENESS", "LATEST", "fault"]

EARLIEST = 946_684_800_000
"""2000-01-01 in milliseconds: an earlier time is a time in seconds."""
LATEST = 253_402_300_799_999
"""The end of the year 9999: no calendar has a later time."""
LATENESS = 86_400_000
"""How far, in milliseconds, an event's time may lie after its broker timestamp."""
FARTHEST = 4_102_444_800_000
"""2100-01-01 in milliseconds: a later time is a sign of microseconds."""


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
