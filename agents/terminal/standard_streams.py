"""The standard streams of a command, and what becomes of output that nobody can take.

A write to stdout that fails raises OutputLost wherever it happens, so no one takes it for an error
of the broker, the worker or a file. A write to stderr never fails: what says so could not be
written either.
"""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

from schemas.errors import Fatal

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["OutputLost", "ReaderGone", "finish", "prepare"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class OutputLost(Fatal):
    """Standard output cannot be written."""


class ReaderGone(OutputLost):
    """Who reads standard output has had enough (`| head`, a pager that quits): nothing is wrong."""


def prepare() -> None:
    """Prepare the streams of this process; those that others have put in their place stay.

    Streams that are closed get their descriptor back, so no file that is opened later has it: input
    is empty, writes to stdout raise OutputLost, and stderr takes anything.
    """
    for at in (_STDIN, _STDOUT, _STDERR):
        if not _open(at):
            # what is opened for reading alone refuses each write, also those of native libraries
            _put(at, os.O_RDWR if at == _STDERR else os.O_RDONLY)
    if sys.stdin is None:
        sys.stdin = open(_STDIN, closefd=False)  # noqa: SIM115
    if sys.stdout is None or (sys.stdout is sys.__stdout__ and _is_file(sys.stdout, _STDOUT)):
        sys.stdout = _text(_Stdout(_STDOUT, "w", closefd=False), sys.stdout)
    if sys.stderr is None or (sys.stderr is sys.__stderr__ and _is_file(sys.stderr, _STDERR)):
        sys.stderr = _text(_Stderr(_STDERR, "w", closefd=False), sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        # a terminal that cannot show a letter gets its number, and no error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish() -> OutputLost | None:
    """Write what is not yet written. If that fails, the error; then the rest of the output is
    dropped, so that the interpreter does not try again when it ends.
    """
    try:
        sys.stdout.flush()
    except OutputLost as error:
        _put(_STDOUT, os.O_WRONLY)
        sys.stdout.flush()
        return error
    return None


class _Stdout(io.FileIO):
    """Raises OutputLost."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise ReaderGone("Nobody reads standard output any more") from error
        except OSError as error:
            closed = error.errno == errno.EBADF
            why = "it is closed" if closed else error.strerror or str(error)
            raise OutputLost(
                f"Standard output cannot be written: {why}",
                remedy="Open it, or send it to /dev/null"
                if closed
                else "Make room there, or send it to another place",
            ) from error


class _Stderr(io.FileIO):
    """Drops what cannot be written."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _open(at: int) -> bool:
    try:
        os.fstat(at)
    except OSError:
        return False
    return True


def _put(at: int, how: int) -> None:
    """Open the null device under this descriptor."""
    found = os.open(os.devnull, how)
    if found == at:
        os.set_inheritable(at, True)
    else:
        os.dup2(found, at)
        os.close(found)


def _is_file(stream: object, at: int) -> bool:
    if not isinstance(stream, io.TextIOWrapper) or stream.fileno() != at:
        return False
    under = stream.buffer  # with PYTHONUNBUFFERED it is the file itself
    return isinstance(under.raw if isinstance(under, io.BufferedWriter) else under, io.FileIO)


def _text(raw: io.FileIO, former: object) -> io.TextIOWrapper:
    """A stream like the former one."""
    if not isinstance(former, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", line_buffering=True)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=former.encoding,
        line_buffering=former.line_buffering,
        write_through=former.write_through,
    )
