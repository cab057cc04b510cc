"""The keys file as a running worker reads it: again after every change."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from agents.http.keys import Keys
from schemas.errors import EmberlineError, Fatal, Recoverable
from streams.settings import Settings
from streams.trusted import is_loopback

__all__ = ["KeyRing", "KeysLost", "check_exposure"]

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
KEEP_S = 60.0
"""So long the former keys hold once their file cannot be read."""


class KeysLost(Recoverable):
    """The keys file has been missing, damaged or unreadable for too long: no key is accepted."""


class KeyRing:
    """The present keys, None if there has never been a keys file.

    An added or revoked key takes effect a second later. If the file is missing, damaged, or can no
    longer be trusted, access does not become open: the previous keys are valid for `KEEP_S`, so
    that the operator can correct a mistake; after that no key is accepted until the file is valid
    again.
    """

    def __init__(self, file: Path, now: Callable[[], float] = time.monotonic) -> None:
        """`now` returns the seconds of a clock."""
        self._file = file
        self._now = now
        self._looked_at = float("-inf")
        self._stamp: tuple[int, ...] | None = None
        self._keys: Keys | None = None
        self._failed_at: float | None = None
        self._why = ""
        # at once: a file that goes before the first request has been there all the same
        self._look(now())

    @property
    def keys(self) -> Keys | None:
        """The present keys. Raises Recoverable while no keys are valid."""
        now = self._now()
        if now >= self._looked_at + LOOK_AGAIN_S:
            self._looked_at = now
            self._look(now)
        if self._failed_at is not None and now >= self._failed_at + KEEP_S:
            raise KeysLost(
                f"The keys file {self._file} has not been readable for {now - self._failed_at:.0f}"
                f" s: {self._why}",
                remedy="Restore it, or make it readable for this worker",
            )
        return self._keys

    @property
    def lost(self) -> bool:
        """Whether no key is accepted any more."""
        try:
            _ = self.keys
        except KeysLost:
            return True
        return False

    @property
    def trouble(self) -> str:
        """The fault of the file, and how long the previous keys remain valid; empty if there is no
        fault.
        """
        if self.lost:
            return f"{self._why}; no key is known any more"
        if self._failed_at is None:
            return ""
        left = self._failed_at + KEEP_S - self._now()
        return f"{self._why}; the former keys hold for {left:.0f} s more"

    def _look(self, now: float) -> None:
        try:
            found = os.stat(self._file)
            # a change of mode or owner leaves the time of writing as it was
            stamp = (
                found.st_mtime_ns,
                found.st_ctime_ns,
                found.st_size,
                found.st_ino,
                self._file.resolve().parent.stat().st_mode,
                self._file.absolute().parent.stat().st_mode,
            )
            if stamp == self._stamp and self._failed_at is None:
                return
            self._stamp = stamp
            keys = Keys.load(self._file)
            if keys is None:
                raise FileNotFoundError
        except FileNotFoundError:
            if self._keys is not None:
                self._failed(now, f"The keys file {self._file} is gone")
        except (OSError, EmberlineError) as error:
            if self._keys is None:
                # whatever it was to say, it was not "open to all"
                self._keys = Keys()
            self._failed(now, str(error))
        else:
            if self._failed_at is not None:
                log.warning("the keys file %s can be read again", self._file)
            self._keys, self._failed_at, self._why = keys, None, ""

    def _failed(self, now: float, why: str) -> None:
        if self._failed_at is None or why != self._why:
            log.error("%s; the previous keys remain valid for %.0f s", why, KEEP_S)
        self._why = why
        if self._failed_at is None:
            self._failed_at = now


def check_exposure(settings: Settings) -> None:
    """Raise Fatal if the worker would serve other machines without keys; warn if it serves this
    machine without keys.
    """
    keys = Keys.load(settings.keys_file)
    if settings.require_keys and (keys is None or not keys.keys):
        raise Fatal(
            f"require_keys is set, and there are no keys in {settings.keys_file}",
            remedy="Make one with `emberline keys add NAME --scope read`",
        )
    if not is_loopback(settings.http_host) and (keys is None or not keys.keys):
        raise Fatal(
            f"The worker would serve all that reach {settings.http_host}, and there are no keys "
            f"in {settings.keys_file}",
            remedy="Make one with `emberline keys add NAME --scope read`, or set "
            "--http-host 127.0.0.1",
        )
    if keys is None:
        log.warning(
            "NO KEYS: every program on this machine may read every user at %s:%d; "
            "`emberline keys add NAME --scope read` makes a key, require_keys demands one",
            settings.http_host,
            settings.http_port,
        )
