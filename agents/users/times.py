"""Times in the format of people and of Braze's exports."""

from datetime import datetime, timedelta
from functools import lru_cache

__all__ = ["iso"]

_EPOCH = datetime(1970, 1, 1)  # without a zone, as `isoformat` would write it


@lru_cache(4_096)  # the same few moments stand all over a profile
def iso(ms: int | None) -> str | None:
    """UTC milliseconds as RFC 3339 with milliseconds: `2026-03-01T09:00:00.000Z`."""
    if ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"
