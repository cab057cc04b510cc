"""How connections to the brokers are secured: the only place that makes their arguments from
settings.

Files that have changed are read again for the next connection, so that certificates, passwords and
tokens are renewed without a restart. `connection.py` uses the arguments.
"""

import asyncio
import logging
import stat
import threading
from functools import cache
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from streams.kafka.bearer import Tokens, token_source
from streams.secret_file import secret_of
from streams.settings import Settings
from streams.tls import ClientTls, TlsFiles
from streams.trusted import check_file, check_target, is_loopback

__all__ = ["Security", "security_of"]

log = logging.getLogger(__name__)

_TARGETS = ("bootstrap_servers", "kafka_security", "kafka_sasl_mechanism", "kafka_ca_file",
            "kafka_check_hostname")  # fmt: skip
_SETTINGS = (
    "bootstrap_servers",
    "kafka_security",
    "kafka_ca_file",
    "kafka_cert_file",
    "kafka_key_file",
    "kafka_key_password",
    "kafka_key_password_file",
    "kafka_check_hostname",
    "kafka_sasl_mechanism",
    "kafka_sasl_user",
    "kafka_sasl_password",
    "kafka_sasl_password_file",
    "kafka_token_file",
    "kafka_token_url",
    "kafka_token_client_id",
    "kafka_token_client_secret",
    "kafka_token_client_secret_file",
    "kafka_token_scope",
    "kafka_token_ca_file",
)


class Security:
    """The security of all connections with these settings. May be used from any thread and loop.

    Raises UsageError for settings that cannot work together.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        kind = settings.kafka_security
        self.uses_tls = kind in ("ssl", "sasl_ssl")
        self.uses_sasl = kind in ("sasl_plaintext", "sasl_ssl")
        self.secures = self.uses_tls or self.uses_sasl
        self._mechanism: str = settings.kafka_sasl_mechanism
        self._tls = ClientTls(_files(settings))
        self._tokens: Tokens | None = None
        if self.uses_sasl:
            _check(settings)
            if self._mechanism == "OAUTHBEARER":
                self._tokens = token_source(settings)

    @property
    def trouble(self) -> str:
        """Why the former certificates are used on; empty if the present ones are. Found out by the
        connections, of which a worker makes one at least every two seconds.
        """
        return self._tls.trouble

    async def arguments(self) -> dict[str, Any]:
        """The arguments of the next connection, as aiokafka names them.

        Raises UsageError for a file that cannot be used, Recoverable if no token can be had.
        """
        if not self.secures:
            return {"security_protocol": "PLAINTEXT"}
        return await asyncio.to_thread(self._arguments)

    def _arguments(self) -> dict[str, Any]:
        found: dict[str, Any] = {"security_protocol": self.settings.kafka_security.upper()}
        if self.uses_tls:
            found["ssl_context"] = self._tls.context()
        if not self.uses_sasl:
            return found
        found["sasl_mechanism"] = self._mechanism
        if self._tokens is not None:
            return found | {"sasl_oauth_token_provider": self._tokens}
        password = _password(self.settings)
        user = self.settings.kafka_sasl_user
        return found | {"sasl_plain_username": user, "sasl_plain_password": password}


def security_of(settings: Settings) -> Security:
    """The security of the settings' connections. Equal settings share one, with its files and
    tokens. Raises UsageError.
    """
    key = tuple(getattr(settings, name) for name in _SETTINGS)
    with _lock:
        found = _known.get(key)
        if found is None:
            if len(_known) >= _MOST:
                _known.clear()
            found = _known[key] = Security(settings)
        return found


_MOST = 64
_lock = threading.Lock()
_known: dict[tuple[object, ...], Security] = {}


def _files(settings: Settings) -> TlsFiles:
    return TlsFiles(
        ca=settings.kafka_ca_file,
        cert=settings.kafka_cert_file,
        key=settings.kafka_key_file,
        password=lambda: secret_of(settings, "kafka_key_password"),
        check_hostname=settings.kafka_check_hostname,
    )


def _check(settings: Settings) -> None:
    mechanism = settings.kafka_sasl_mechanism
    local = all(is_loopback(_host(one)) for one in settings.bootstrap_servers.split(","))
    if mechanism == "OAUTHBEARER":
        if not local:
            check_file(settings, "kafka_token_file", *_TARGETS)
        return
    if not settings.kafka_sasl_user:
        raise UsageError(
            f"kafka_security is {settings.kafka_security} with {mechanism}, and kafka_sasl_user "
            "is not set",
            remedy="Set kafka_sasl_user, and kafka_sasl_password_file",
        )
    if not local:
        check_target(settings, "kafka_sasl_password", *_TARGETS)
        check_file(settings, "kafka_sasl_password_file", *_TARGETS)
    if not local and mechanism == "PLAIN" and settings.kafka_security == "sasl_plaintext":
        log.warning("the password of PLAIN is sent without encryption: set kafka_security=sasl_ssl")


def _password(settings: Settings) -> str:
    found = secret_of(settings, "kafka_sasl_password")
    if not found:
        raise UsageError(
            "There is no password for kafka_sasl_user",
            remedy="Set kafka_sasl_password_file to a file with it",
        )
    file = settings.kafka_sasl_password_file
    if file and Path(file).expanduser().stat().st_mode & stat.S_IRWXO:
        _warn(file)
    return found


@cache
def _warn(file: str) -> None:
    """Once for each file."""
    log.warning("everybody on this machine may read the password in %s: chmod 600 it", file)


def _host(server: str) -> str:
    return server.strip().rpartition(":")[0]
