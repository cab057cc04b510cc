"""The certificate of a worker's listener while it runs: read again when its files change."""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from agents.http.own_address import host_told
from agents.http.reloaded import Reloaded
from agents.http.tls import client_context, examined, listener_context, time_context, why
from schemas.errors import Fatal
from streams.settings import Settings

__all__ = ["ListenerTls"]


@dataclass(frozen=True, slots=True)
class _Listening:
    """`until`: the end of the certificate, UTC milliseconds; None if it is not valid now. `fault`:
    why other workers and commands would refuse it; may be empty.
    """

    context: ssl.SSLContext
    until: int | None
    fault: str


class ListenerTls:
    """The context for new connections; those that are open go on with the former one.

    A certificate is examined as soon as it is read: as another worker with these settings would.
    New files that cannot be used, or whose certificate others would refuse while they accept the
    former one, change nothing. Use it in one thread. Raises Fatal if the first files cannot be
    used.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        names = ("certificate", "key", "key_password", "client_ca", "ca")
        files = [str(getattr(settings, f"http_{name}_file")) for name in names]
        self._listening: Reloaded[_Listening] = Reloaded("certificate", files, self._read, now)

    def present(self) -> ssl.SSLContext:
        """For the next connection."""
        return self._listening.value.context

    @property
    def until(self) -> int | None:
        """The end of the certificate, UTC milliseconds; None if it is not valid now."""
        return self._listening.value.until

    @property
    def trouble(self) -> str:
        """What is wrong with the certificate in use, or with the files that should replace it;
        empty if nothing is.
        """
        return self._listening.trouble or self._listening.value.fault

    def _read(self, former: _Listening | None) -> _Listening:
        settings, host = self._settings, host_told(self._settings)
        found = listener_context(settings)
        until: int | None = None
        fault = ""
        try:
            until = examined(found, time_context(settings), host)
            examined(found, client_context(settings, worker=True), host)
        except (ssl.SSLError, Fatal) as error:
            fault = (
                f"http_certificate_file: {settings.http_certificate_file}: other workers and "
                f"commands refuse it as that of {host}: {why(error)}"
            )
        if fault and former is not None and not former.fault:
            raise Fatal(
                fault,
                remedy="Name a certificate that http_ca_file has issued for this host",
            )
        return _Listening(found, until, fault)
