"""Why brokers refuse this client, in words, with the remedy: encryption, identity, rights."""

import asyncio
import ssl
from collections.abc import Iterator

from aiokafka import errors as kafka_errors

from schemas.errors import EmberlineError, Recoverable
from streams.settings import Settings

__all__ = [
    "BrokerRefuses",
    "Denied",
    "RefusedConnection",
    "denied",
    "found_in",
    "lacks",
    "refused",
    "unreachable",
]

_TLS = ("ssl", "sasl_ssl")
#: OpenSSL's numbers of what is wrong with a certificate (X509_V_ERR_...).
_NOT_YET, _EXPIRED = 9, 10
_OTHER_HOST = (62, 63, 64)
_RIGHTS = "`emberline topics acls` prints the rights that each role needs"


class BrokerRefuses(Recoverable):
    """No broker accepts this client, and that stays so until a person changes something. A worker
    that runs goes on trying; one that starts ends.
    """


class Denied(BrokerRefuses):
    """The brokers know this client, and it lacks a right."""


class RefusedConnection(kafka_errors.KafkaConnectionError):  # type: ignore[misc]  # untyped
    """A connection that a broker, or this side, refuses; `what` says why."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what.rstrip('.')}. {remedy}")
        self.what = what
        self.remedy = remedy


def refused(error: BaseException, address: str, settings: Settings) -> RefusedConnection | None:
    """What the error of a connection to `address` means; None if trying again may help."""
    for cause in _causes(error):
        if isinstance(cause, RefusedConnection):
            return cause
        if isinstance(cause, EmberlineError):
            return RefusedConnection(cause.message, cause.remedy)
        found = _of(cause, settings)
        if found is not None:
            what, remedy = found
            return RefusedConnection(f"The broker at {address}: {what}", remedy)
    return None


def found_in(error: BaseException) -> RefusedConnection | None:
    """The refusal that caused an error, if one did."""
    return next((cause for cause in _causes(error) if isinstance(cause, RefusedConnection)), None)


def denied(error: BaseException, what: str = "") -> Denied | None:
    """The missing right that caused an error, if one did; `what` names what it is a right on."""
    for cause in _causes(error):
        if isinstance(cause, Denied):
            return cause
        for kind, named in _DENIED.items():
            if isinstance(cause, kind):
                return Denied(f"This client lacks a right on {what or named}", remedy=_RIGHTS)
    return None


def lacks(what: str) -> Denied:
    """The error for a right that is known to be missing, such as "Read on topic t"."""
    return Denied(f"This client lacks {what}", remedy=_RIGHTS)


def unreachable(error: BaseException, otherwise: Recoverable, what: str = "") -> Recoverable:
    """The error to raise for one of a client: the refusal, or the missing right (on `what`), else
    `otherwise`.

    The caller raises it `from` the error.
    """
    found = found_in(error)
    if found is not None:
        return BrokerRefuses(found.what, remedy=found.remedy)
    return denied(error, what) or otherwise


_DENIED = {
    kafka_errors.TopicAuthorizationFailedError: "a topic",
    kafka_errors.GroupAuthorizationFailedError: "the group of workers",
    kafka_errors.ClusterAuthorizationFailedError: "the cluster",
    kafka_errors.TransactionalIdAuthorizationFailed: "a transactional id",
}


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _of(error: BaseException, settings: Settings) -> tuple[str, str] | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, settings)
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, asyncio.IncompleteReadError):
        return _alert(error)
    return _sasl(error, settings)


def _certificate(error: ssl.SSLCertVerificationError, settings: Settings) -> tuple[str, str]:
    if error.verify_code == _EXPIRED:
        return "its certificate has expired", "Renew the broker's certificate"
    if error.verify_code == _NOT_YET:
        return "its certificate is not valid yet", "Compare the clocks of both machines"
    if error.verify_code in _OTHER_HOST:
        return (
            f"its certificate is for another host ({error.verify_message})",
            "Name the broker in bootstrap_servers and advertised.listeners as its certificate "
            "names it, or give it a certificate with this name",
        )
    known = settings.kafka_ca_file or "the system's certificates"
    return (
        f"its certificate comes from no authority in {known} ({error.verify_message})",
        "Set kafka_ca_file to the certificate of the authority that signed the broker's",
    )


def _tls(error: ssl.SSLError) -> tuple[str, str] | None:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return (
            "it does not speak TLS at this port",
            "Name the port of a listener with TLS in bootstrap_servers, or set kafka_security to "
            "plaintext or sasl_plaintext",
        )
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return (
            f"it asks for a certificate of this client, or for another version of TLS ({reason})",
            "Set kafka_cert_file and kafka_key_file to the certificate of this client",
        )
    if "CERTIFICATE_EXPIRED" in reason:
        return "the certificate of this client has expired", "Renew kafka_cert_file"
    if "UNKNOWN_CA" in reason or "CERTIFICATE" in reason:
        return (
            f"it does not accept the certificate of this client ({reason})",
            "Set kafka_cert_file to a certificate of an authority that the broker trusts "
            "(ssl.truststore.location), which has not expired",
        )
    return None


def _alert(error: asyncio.IncompleteReadError) -> tuple[str, str] | None:
    """TLS answers to plaintext with an alert: bytes 21, 3, and the version."""
    expected = error.expected or 0
    if expected >> 16 == 0x1503:
        return (
            "it speaks TLS at this port",
            "Set kafka_security to ssl or sasl_ssl, or name the port of another listener",
        )
    return None


def _sasl(error: BaseException, settings: Settings) -> tuple[str, str] | None:
    mechanism, user = settings.kafka_sasl_mechanism, settings.kafka_sasl_user
    if isinstance(error, kafka_errors.SaslAuthenticationFailed):
        said = f" ({error.args[0]})" if error.args and error.args[0] else ""
        if mechanism == "OAUTHBEARER":
            return (
                f"it does not accept the token{said}",
                "Look at kafka_token_file or kafka_token_url: the token may have expired, or be "
                "for another audience",
            )
        return (
            f"it does not accept user {user} with this password and {mechanism}{said}",
            "Correct kafka_sasl_user and kafka_sasl_password_file, or create the user with this "
            "mechanism (kafka-configs.sh --alter --entity-type users)",
        )
    if isinstance(error, kafka_errors.UnsupportedSaslMechanismError):
        return (
            f"it does not offer {mechanism} ({error.args[0] if error.args else ''})",
            "Set kafka_sasl_mechanism to one that it offers",
        )
    if isinstance(error, kafka_errors.IllegalSaslStateError):
        return (
            "it asks for no user at this port",
            "Name the port of a listener with SASL in bootstrap_servers, or set kafka_security to "
            f"{'ssl' if settings.kafka_security in _TLS else 'plaintext'}",
        )
    return None
