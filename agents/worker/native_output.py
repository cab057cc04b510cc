"""Redirects the direct output of native libraries, so that caught panics do not fill the log.

Polars prints a panic to file descriptor 2 before the panic becomes an exception, which the caller
expects for invalid data and handles. This module replaces the descriptor by a pipe: panics go to
the log at level debug, one record for each line; all other output goes to the former descriptor.
Python's own stderr does not use the pipe.
"""

import faulthandler
import fcntl
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import TextIO

__all__ = ["divert", "without_panics"]

log = logging.getLogger(__name__)

_STDERR = 2
_PIPE_BYTES = 1 << 20
_PANIC = re.compile(rb"thread '.*' .*panicked at (.*):$")
#: What follows a panic: its notes, and a backtrace where the environment asks for one.
_REST = re.compile(rb"note: |stack backtrace:|\s+\d+: |\s+at ")
_SHOWN = 200


def divert() -> TextIO:
    """Begin; returns a stream to the former stderr, for use as `sys.stderr`."""
    former = os.dup(_STDERR)
    reading, writing = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    # a full pipe must drop output, and never block the writer
    os.set_blocking(writing, False)
    os.dup2(writing, _STDERR)
    os.close(writing)
    # by lines, as what others print comes between writes
    stream = os.fdopen(former, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    sys.stderr = stream
    # what a library prints before it aborts the process may be lost in the pipe
    faulthandler.enable(stream)
    threading.Thread(target=_pump, args=(reading, former), name="native", daemon=True).start()
    return stream


def without_panics(lines: Iterable[bytes]) -> Iterable[bytes]:
    """The lines that belong to no panic; lines of panics are logged at level debug."""
    panicked: str | None = None
    said = False
    for line in lines:
        if found := _PANIC.search(line.rstrip()):
            panicked, said = found[1].decode(errors="replace"), False
        elif panicked is not None and not said:
            message = line.decode(errors="replace").strip()
            log.debug("a native library panicked at %s: %.*s", panicked, _SHOWN, message)
            said = True
        elif panicked is not None and (_REST.match(line) or not line.strip()):
            continue
        else:
            # an empty line comes before each panic
            panicked = None
            if line.strip():
                yield line


def _pump(reading: int, former: int) -> None:
    with open(reading, "rb") as lines:
        for line in without_panics(lines):
            # as long as nobody takes the line, it is lost; a pipe that nobody reads would be full
            with suppress(OSError):
                os.write(former, line)
