"""When the certificates end that the files of the settings have, for the metrics."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.errors import UsageError
from streams.certificate_end import certificate_ends
from streams.settings import Settings
from streams.tls import stamp_of

__all__ = ["CertificateWatch"]

log = logging.getLogger(__name__)

_OWN = ("http_certificate_file", "http_client_certificate_file", "kafka_cert_file")
"""Their first certificate is the worker's; the others are its chain."""
_AUTHORITIES = (
    "http_ca_file",
    "http_client_ca_file",
    "kafka_ca_file",
    "kafka_token_ca_file",
    "schema_registry_ca_file",
    "smtp_ca_file",
)
LOOK_AGAIN_S = 10.0
MOST_BYTES = 4 << 20


class CertificateWatch:
    """The ends by setting. A file is read again after it has changed, and looked at every
    10 seconds at most. Use it in one thread.

    Of an own certificate the end is that of the first one in the file. Of authorities it is that
    of the last to end: while an authority is replaced the file has both, and the former one may
    end. A file that cannot be read leaves the former end: those who use the file say so.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        """`now` returns the seconds of a clock."""
        self._files = {
            name: file for name in (*_OWN, *_AUTHORITIES) if (file := str(getattr(settings, name)))
        }
        self._now = now
        self._look_at = float("-inf")
        self._stamps: dict[str, object] = {}
        self._ends: dict[str, int] = {}

    def found(self) -> Mapping[str, int]:
        """UTC milliseconds by the name of the setting."""
        now = self._now()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_S
            for name, file in self._files.items():
                self._look(name, file)
        return self._ends

    def _look(self, name: str, file: str) -> None:
        stamp = stamp_of(file)
        if name in self._stamps and self._stamps[name] == stamp:
            return
        self._stamps[name] = stamp
        try:
            ends = certificate_ends(_read(file))
        except UsageError as error:
            log.warning("%s: %s: %s; its end is not known", name, file, error.message)
            return
        self._ends[name] = max(ends) if name in _AUTHORITIES else ends[0]


def _read(file: str) -> bytes:
    try:
        with Path(file).expanduser().open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"it is larger than {MOST_BYTES} bytes")
    return content
