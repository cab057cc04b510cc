"""Why a broker closed a connection without a word: by one question of another kind.

A listener answers only to its own kind of client. A broker that ends closes connections too, so a
closed connection alone proves nothing.
"""

import asyncio
import ssl
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.protocol.admin import SaslHandShakeRequest

from streams.kafka.connection import Connection
from streams.kafka.security import Security

__all__ = ["diagnosed", "was_closed"]

_LIMIT_S = 2.0
_FAILURES = (OSError, EOFError, TimeoutError, kafka_errors.KafkaError)
_PLAINTEXT = {"security_protocol": "PLAINTEXT"}


def was_closed(error: BaseException) -> bool:
    """Whether the other end closed the connection."""
    cause: BaseException | None = error
    while cause is not None:
        closed = ConnectionResetError | BrokenPipeError | ConnectionAbortedError
        if isinstance(cause, EOFError | ssl.SSLEOFError | closed):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


async def diagnosed(host: str, port: int, security: Security) -> tuple[str, str] | None:
    """What is wrong, and the remedy; None if the broker may only have ended."""
    if security.uses_tls and await _speaks(host, port, _PLAINTEXT):
        return (
            "it does not speak TLS at this port",
            "Name the port of a listener with TLS in bootstrap_servers, or set kafka_security to "
            "plaintext or sasl_plaintext",
        )
    if not security.uses_tls and await _speaks_tls(host, port):
        return (
            "it speaks TLS at this port",
            "Set kafka_security to ssl or sasl_ssl, or name the port of another listener",
        )
    if not security.uses_sasl:
        offered = await _mechanisms(host, port, security)
        if offered:
            return (
                "it asks for a user at this port",
                f"Set kafka_security to {'sasl_ssl' if security.uses_tls else 'sasl_plaintext'}, "
                f"kafka_sasl_mechanism to one of {', '.join(offered)}, and a user",
            )
    return None


async def _speaks(host: str, port: int, arguments: dict[str, Any]) -> bool:
    connection = _connection(host, port, arguments)
    try:
        await connection.connect()
    except _FAILURES:
        return False
    finally:
        connection.close()
    return True


async def _speaks_tls(host: str, port: int) -> bool:
    # nothing is sent on this connection: whose certificate it is does not matter
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def _mechanisms(host: str, port: int, security: Security) -> list[str]:
    connection = _connection(host, port, await security.arguments())
    try:
        await connection.connect()
        answer = await connection.send(SaslHandShakeRequest("PLAIN"))
        return sorted(answer.enabled_mechanisms)
    except _FAILURES:
        return []
    finally:
        connection.close()


def _connection(host: str, port: int, arguments: dict[str, Any]) -> Connection:
    limit_ms = int(_LIMIT_S * 1000)
    return Connection(host, port, request_timeout_ms=limit_ms, **arguments)
