"""A value that is made from files, and made again when they change."""

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from schemas.errors import EmberlineError

__all__ = ["Reloaded"]

log = logging.getLogger(__name__)

T = TypeVar("T")
LOOK_AGAIN_S = 1.0


class Reloaded(Generic[T]):
    """Use it in one thread.

    `make` gets the former value, None at first, and raises EmberlineError if the files cannot be
    used. The first error is raised here; later the former value stays until the files can be used,
    and `trouble` and the log say why. `what` names the value in the log.
    """

    def __init__(
        self,
        what: str,
        files: Iterable[str],
        make: Callable[[T | None], T],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` returns the seconds of a clock."""
        self._what = what
        self._files = tuple(Path(file).expanduser() for file in files if file)
        self._make = make
        self._now = now
        self._looked_at = now()
        self._stamp = self._stamps()
        self._value = make(None)
        self._trouble = ""

    @property
    def value(self) -> T:
        """The value of the files as they were at most a second ago."""
        self._look()
        return self._value

    @property
    def trouble(self) -> str:
        """Why the former value is still used; empty if it is the present one."""
        self._look()
        return self._trouble

    def _look(self) -> None:
        now = self._now()
        if now < self._looked_at + LOOK_AGAIN_S:
            return
        self._looked_at = now
        stamp = self._stamps()
        if stamp == self._stamp and not self._trouble:
            return
        self._stamp = stamp
        try:
            self._value = self._make(self._value)
        except EmberlineError as error:
            if error.message != self._trouble:
                log.error("%s; the former %s stays in use", error, self._what)
            self._trouble = error.message
        else:
            log.info("the %s was read again", self._what)
            self._trouble = ""

    def _stamps(self) -> tuple[tuple[int, ...], ...]:
        return tuple(map(_stamp, self._files))


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
