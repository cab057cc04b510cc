"""Why a request to another process failed, in words for people."""

import os

import aiohttp

from agents.http.tls import why

__all__ = ["trouble"]


def trouble(error: BaseException) -> str:
    """The error of a call, without names from inside the libraries."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not accepted: {why(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"the TLS handshake fails: {why(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it cannot be reached{_reason(error.os_error)}"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "its answer is incomplete"
    if isinstance(error, ConnectionError | aiohttp.ClientOSError):
        return "the connection was closed"
    if isinstance(error, aiohttp.InvalidURL):
        return "its address is none"
    if isinstance(error, OSError):
        return f"the system refuses{_reason(error)}"
    return "its answer makes no sense"


def _reason(error: OSError) -> str:
    # asyncio's own text has the address once more
    return f": {os.strerror(error.errno).lower()}" if error.errno and error.errno > 0 else ""
