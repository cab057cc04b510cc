"""Opens files for reading: plain, gzip or zstd, from folders, or standard input.

The first bytes say whether a file is compressed; its name does not count. Positions are those of
the decompressed content.
"""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from schemas.errors import Fatal, UsageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["STDIN", "FileContent", "expand", "guarded", "opened"]

T = TypeVar("T")

STDIN = Path("-")
"""The name of standard input."""
_CUT = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
"""What reading a damaged compressed file raises."""
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PEEKED = 64
_BUFFER = 1 << 20
_SUFFIXES = (".gz", ".zst", ".zstd")


@dataclass(slots=True)
class FileContent:
    """The content of a file; `content` begins at its first byte and need not be seekable.

    `read` gives the bytes of the file that have been read, as it lies on the disk. A `plain` file
    is neither compressed nor a stream.
    """

    file: Path
    content: BinaryIO
    first: bytes
    read: Callable[[], int]
    plain: bool = False

    def skip(self, size: int) -> None:
        """Move on to the position `size` from the beginning. Raises Fatal if there is none."""
        if self.plain:
            self.content.seek(size)
            return
        left = size
        while left and (data := self.content.read(min(left, _BUFFER))):
            left -= len(data)
        if left:
            raise Fatal(
                f"{self.file} ends before byte {size}, up to which it was imported",
                remedy="Import it from its beginning: --again",
            )


@contextmanager
def opened(file: Path) -> Iterator[FileContent]:
    """Open `file`, or standard input for `-`. What is compressed is decompressed while it is read.

    Raises UsageError if the file cannot be opened, Fatal if it cannot be decompressed.
    """
    if file == STDIN:
        with _decompressed(file, _Counting(sys.stdin.buffer)) as found:
            yield found
        return
    try:
        raw = file.open("rb")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", remedy="Check the name") from error
    with raw:
        first = raw.peek(_PEEKED)[:_PEEKED]
        if first.startswith((_GZIP, _ZSTD)):
            with _decompressed(file, _Counting(raw)) as found:
                yield found
        else:
            yield FileContent(file, raw, first, raw.tell, plain=True)


@contextmanager
def _decompressed(file: Path, counting: "_Counting") -> Iterator[FileContent]:
    buffered = io.BufferedReader(counting, _BUFFER)
    magic = buffered.peek(_PEEKED)[:_PEEKED]
    if magic.startswith((_GZIP, _ZSTD)):
        with _unpacked(buffered, magic) as unzipped:
            try:
                first = unzipped.peek(_PEEKED)[:_PEEKED]
            except _CUT as error:
                raise _damaged(file, error) from error
            # a BinaryIO to all who read it
            yield FileContent(file, cast(BinaryIO, unzipped), first, lambda: counting.count)
    else:
        yield FileContent(file, buffered, magic, lambda: counting.count)


def _unpacked(packed: Any, magic: bytes) -> "gzip.GzipFile | zstd.ZstdFile":
    return gzip.GzipFile(fileobj=packed) if magic.startswith(_GZIP) else zstd.ZstdFile(packed)


def _damaged(file: Path, error: Exception) -> Fatal:
    return Fatal(
        f"{file} cannot be decompressed: {error!s:.200}",
        remedy="Copy or write it anew; what lies before the damage has been imported",
    )


def guarded(file: Path, parts: Iterator[T]) -> Iterator[T]:
    """The same, with a Fatal for a compressed file that is damaged or ends too early."""
    try:
        yield from parts
    except _CUT as error:
        raise _damaged(file, error) from error


class _Counting(io.RawIOBase):
    """Counts the bytes that are read from a file or a stream."""

    def __init__(self, raw: io.BufferedReader | BinaryIO) -> None:
        self._raw: Any = raw
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, space: Any) -> int:
        data = self._raw.read1(len(space))
        space[: len(data)] = data
        self.count += len(data)
        return len(data)


def expand(paths: Sequence[Path], suffixes: Collection[str]) -> list[Path]:
    """The files, and for a folder all files below it with one of these suffixes, in order of their
    names; `.gz` and `.zst` may follow the suffix. Hidden files are passed over.

    Raises UsageError for a name without a file, for a folder without such files, and if standard
    input is named twice or with other files.
    """
    if STDIN in paths and len(paths) > 1:
        raise UsageError("- is standard input, and stands alone", remedy="Name either - or files")
    found: dict[Path, None] = {}
    for path in paths:
        if path == STDIN or path.is_file():
            found[path] = None
        elif path.is_dir():
            below = list(_below(path, tuple(suffixes)))
            if not below:
                names = ", ".join(f"*{suffix}" for suffix in suffixes)
                raise UsageError(
                    f"{path} has no file {names}, also not with .gz or .zst behind",
                    remedy="Name the files, or another folder",
                )
            found.update(dict.fromkeys(below))
        else:
            raise UsageError(f"There is no file {path}", remedy="Check its name")
    return list(found)


def _below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            plain = name.casefold()
            for packed in _SUFFIXES:
                plain = plain.removesuffix(packed)
            if plain.endswith(suffixes) and not name.startswith("."):
                yield Path(here) / name
