"""The progress of a measured process: a file of 24 bytes, mapped by the process and its parent.

Layout, little-endian: number of processed events (int64), times of the first and the last of them
(float64 each, seconds of the monotonic clock, which all processes of one machine share). A write
takes about a third of a microsecond, so it is done for every event.
"""

import mmap
import struct
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["Progress", "Reading"]

_LAYOUT = struct.Struct("<qdd")


class Reading(NamedTuple):
    """`events` processed between `first` and `last`, both monotonic seconds (0.0: none yet)."""

    events: int
    first: float
    last: float


class Progress:
    """Opens `path`, and creates it if it is missing; the process calls `add`, its parent `read`."""

    def __init__(self, path: Path) -> None:
        with path.open("a+b") as file:
            if path.stat().st_size < _LAYOUT.size:
                file.truncate(_LAYOUT.size)
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._events = 0
        self._first = 0.0

    def begin(self) -> None:
        """Start the clock now, before the first event."""
        self._first = time.monotonic()
        _LAYOUT.pack_into(self._map, 0, 0, self._first, self._first)

    def add(self, events: int = 1) -> None:
        """Count `events` as processed now."""
        now = time.monotonic()
        if not self._first:
            self._first = now
        self._events += events
        _LAYOUT.pack_into(self._map, 0, self._events, self._first, now)

    def read(self) -> Reading:
        """The progress of the process so far."""
        return Reading(*_LAYOUT.unpack_from(self._map, 0))
