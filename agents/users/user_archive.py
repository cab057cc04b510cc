"""A ZIP file of users, as the platform exports a segment: files of JSON lines, a user on each."""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from zipfile import ZIP_DEFLATED, ZipFile

__all__ = ["USERS_A_FILE", "UserArchive"]

USERS_A_FILE = 5_000
"""Users in each file of the archive, as on the platform."""
_LEVEL = 1
"""Of deflate: user objects repeat their names, which the fastest level finds too."""


class UserArchive:
    """Writes the archive; its files are `PREFIX-00000.json` and so on. All methods block.

    It is a context manager; the archive is complete once the block has ended without an error.
    """

    def __init__(self, path: Path, prefix: str) -> None:
        """`path` must not exist yet. Raises OSError."""
        self._zip = ZipFile(path, "x", ZIP_DEFLATED, compresslevel=_LEVEL)
        self._path = path
        self._prefix = prefix
        self._open: IO[bytes] | None = None
        self._files = self._users = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(OSError, ValueError):  # the first error counts
            self.close()

    @property
    def size(self) -> int:
        """Bytes on disk so far."""
        return self._path.stat().st_size

    def add(self, lines: bytes, users: int) -> None:
        """Write the lines of some users, at most `USERS_A_FILE`. Raises OSError."""
        if self._open is not None and self._users + users > USERS_A_FILE:
            self._open.close()
            self._open = None
        if self._open is None:
            self._open = self._zip.open(f"{self._prefix}-{self._files:05d}.json", "w")
            self._files += 1
            self._users = 0
        self._open.write(lines)
        self._users += users

    def close(self) -> None:
        """Write the end of the archive. Raises OSError."""
        try:
            if self._open is not None:
                self._open.close()
                self._open = None
        finally:
            self._zip.close()
