"""TLS contexts: of the worker's listener, and of those who ask a worker. At least TLS 1.2.

All certificates are PEM files that settings name. An error names the setting and the file, never
the content.
"""

import ssl
from pathlib import Path

from schemas.errors import EmberlineError, Fatal, UsageError
from streams.secret_file import secret_of
from streams.settings import Settings

__all__ = ["client_context", "examined", "listener_context", "time_context", "why"]

_ROUNDS = 4
_REASONS = {
    "KEY_VALUES_MISMATCH": "the key belongs to another certificate",
    "PEM_LIB": "it is no PEM file with a certificate and a key",
    "WRONG_VERSION_NUMBER": "there is no TLS",
    "NO_START_LINE": "it is no PEM file",
    "NO_CERTIFICATE_OR_CRL_FOUND": "it has no certificate",
    "EE_KEY_TOO_SMALL": "the key of the certificate is too small",
    "CA_MD_TOO_WEAK": "the certificate is signed with a weak hash",
}


def listener_context(settings: Settings) -> ssl.SSLContext:
    """For connections that the worker accepts. With `http_client_ca_file` a client may send a
    certificate, and a wrong one ends the connection; the guard refuses requests without one.

    Blocking. Raises Fatal for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # a session that is resumed would show neither a new certificate nor the client's
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    _load_own(context, settings, "http")
    if settings.http_client_ca_file:
        _load_authority(context, settings, "http_client_ca_file")
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(settings: Settings, *, worker: bool = False) -> ssl.SSLContext:
    """For connections to a worker: its certificate has to come from `http_ca_file`, or from an
    authority that the system trusts, and to name the host. A worker (`worker`) that asks another
    one shows its own certificate unless the settings name one for asking.

    Blocking. Raises Fatal for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if settings.http_ca_file:
        _load_authority(context, settings, "http_ca_file")
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.http_client_certificate_file:
        _load_own(context, settings, "http_client")
    elif worker and settings.http_certificate_file:
        _load_own(context, settings, "http")
    return context


def time_context(settings: Settings) -> ssl.SSLContext:
    """For `examined`: accepts the certificate of these settings itself, as long as it is valid."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_authority(context, settings, "http_certificate_file")
    return context


def examined(listener: ssl.SSLContext, client: ssl.SSLContext, host: str) -> int:
    """Connect to the listener in memory, as a client that asks `host` would; returns the end of the
    certificate in UTC milliseconds.

    Raises ssl.SSLError if the client would refuse.
    """
    to_listener, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_listener, server_hostname=host)
    listening = listener.wrap_bio(to_listener, to_client, server_side=True)
    for _ in range(_ROUNDS):
        for end in (asking, listening):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = asking.getpeercert() or {}
    return int(ssl.cert_time_to_seconds(str(found["notAfter"])) * 1000)


def why(error: BaseException) -> str:
    """What is wrong with files or with a connection, in words for people."""
    if isinstance(error, EmberlineError):
        return error.message
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "PEM_LIB"
        return _REASONS.get(reason, reason.replace("_", " ").lower())
    if isinstance(error, ConnectionError):
        return "it did not end in time, or the connection was closed"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return type(error).__name__


def _load_own(context: ssl.SSLContext, settings: Settings, kind: str) -> None:
    """The certificate and the key of the settings that begin with `kind`."""
    certificate = str(getattr(settings, f"{kind}_certificate_file"))
    key = str(getattr(settings, f"{kind}_key_file")) or certificate
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        # without this function openssl would ask the terminal
        if not getattr(settings, f"{kind}_key_password_file"):
            raise UsageError("the key is encrypted", remedy=f"Set {kind}_key_password_file")
        return secret_of(settings, f"{kind}_key_password")

    try:
        context.load_cert_chain(Path(certificate).expanduser(), Path(key).expanduser(), password)
    except (OSError, EmberlineError) as error:
        if asked and isinstance(error, ssl.SSLError):
            error = UsageError("the password of its key is wrong")
        raise _unusable(f"{kind}_certificate_file", certificate, error) from error


def _load_authority(context: ssl.SSLContext, settings: Settings, name: str) -> None:
    file = str(getattr(settings, name))
    try:
        context.load_verify_locations(Path(file).expanduser())
    except OSError as error:
        raise _unusable(name, file, error) from error


def _unusable(name: str, file: str, error: Exception) -> Fatal:
    remedy = error.remedy if isinstance(error, EmberlineError) else ""
    return Fatal(
        f"{name}: {file} cannot be used: {why(error)}",
        remedy=remedy or "Name PEM files that this user may read and that belong together",
    )
