"""Limits the disk space of all answers that are written to disk before they are sent.

Bytes are counted before they are written, by their size in memory, which is larger than on disk;
afterwards by their size on disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.http.problems import Problem
from agents.http.spool import spool

__all__ = ["Quota", "Spooled"]


class Spooled:
    """One answer's folder, and its share of the quota."""

    def __init__(self, quota: "Quota", folder: Path) -> None:
        self.folder = folder
        self.bytes = 0
        self._quota = quota

    def take(self, count: int) -> None:
        """Reserve this many bytes before writing them. Raises Problem (503)."""
        self._quota.take(count)
        self.bytes += count

    def give(self, count: int) -> None:
        """Return this many bytes, which were not needed or have been deleted."""
        self._quota.used -= count
        self.bytes -= count


class Quota:
    """The quota of one worker."""

    def __init__(self, data_dir: Path, most: int) -> None:
        self.used = 0
        self._data_dir = data_dir
        self.most = most

    def take(self, count: int) -> None:
        """Raises Problem (503)."""
        if self.used + count > self.most:
            raise Problem(
                "busy",
                f"Unfinished answers use {self.used:,} of at most {self.most:,} bytes on disk "
                "(spool_bytes): ask again later, or for NDJSON or CSV, which need none",
            )
        self.used += count

    @contextmanager
    def folder(self) -> Iterator[Spooled]:
        """A new folder; at the end it is deleted and its bytes are returned."""
        with spool(self._data_dir) as path:
            found = Spooled(self, path)
            try:
                yield found
            finally:
                found.give(found.bytes)
