"""The keys file as a running worker reads it: again whenever it has changed."""

import ipaddress
import logging
import os
import time
from pathlib import Path

from agents.keys import Keys
from schemas.errors import EmberlineError, Fatal
from streams.settings import Settings

__all__ = ["KeyRing", "check_exposure", "is_loopback"]

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0


class KeyRing:
    """The present keys, None where there has never been a file.

    A key that is added or revoked counts a second later. A file that vanishes or cannot be
    read opens nothing: the former keys stand.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looked_at = -LOOK_AGAIN_S
        self._stamp: tuple[int, int, int] | None = None
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys | None:
        """As they are now."""
        now = time.monotonic()
        if now >= self._looked_at + LOOK_AGAIN_S:
            self._looked_at = now
            self._look()
        return self._keys

    def _look(self) -> None:
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            found = None
        stamp = found and (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = Keys.load(self._file) or self._keys
        except EmberlineError as error:
            log.error("%s", error)
            # whatever it was to say, it was not "open to all"
            self._keys = self._keys or Keys()


def check_exposure(settings: Settings) -> None:
    """Raise Fatal where the worker would serve other machines without keys; say it loudly where
    it serves this one without."""
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


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "ip6-localhost")
