"""Calls to a running worker: its address, the key, and problems as errors."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from agents.cli.options import key_header
from agents.coordinator.rules.bounds import NO_SEGMENT, is_segment
from agents.http.own_address import local
from agents.http.tls import client_context
from agents.scatter.trouble import trouble
from schemas.errors import EmberlineError, Fatal, Recoverable, UsageError
from streams.settings import Settings
from streams.settings_values import Address

__all__ = ["KEY_NEEDED", "NoWorker", "address", "asked", "call", "segment"]

KEY_NEEDED = "Write the key of the source, such as campaign:ID"
"""The remedy for a source that cannot be part of an address."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
_MOST_PROBLEM = 1 << 20
_REMEDIES = {
    "unknown_source": "`emberline status` lists the sources",
    "shards_unavailable": "Try again in a moment",
    "unauthorized": "Set EMBERLINE_API_KEY to a key that `emberline keys add` gave out",
    "too_many_requests": "Wait for what is under way, or ask later",
    "busy": "Try again later",
    "keys_lost": "Make the worker's keys file readable for it again",
    "forbidden": "Set EMBERLINE_API_KEY to a key with that scope",
}


class NoWorker(Fatal):
    """Nobody answers at the address of the settings."""


def address(settings: Settings) -> str:
    """The worker's address from the settings."""
    return settings.url.rstrip("/") or local(settings)


def segment(text: str, remedy: str) -> str:
    """A text as one segment of the path of an address. Raises UsageError with this remedy for one
    that cannot be that.
    """
    if not is_segment(text):
        raise UsageError(f"{text!r} {NO_SEGMENT}", remedy=remedy)
    return quote(text, safe=":")


@asynccontextmanager
async def call(
    settings: Settings,
    method: str,
    path: str,
    *,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request to the worker; returns its answer with status 200.

    Raises UsageError if the worker does not understand the request, Fatal if it refuses or is not
    there, Recoverable if it may answer later or its answer is incomplete.
    """
    base = address(settings)
    sent = {**key_header(settings), **(headers or {})}
    begun = False
    tls = client_context(settings) if base.startswith("https:") else True
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, headers=sent) as session,
            # elsewhere the key must not go
            session.request(
                method, base + path, json=json, allow_redirects=False, ssl=tls
            ) as answer,
        ):
            if answer.status != HTTPStatus.OK:
                problem = await answer.content.read(_MOST_PROBLEM)
                raise _refusal(path, answer.status, problem)
            begun = True
            yield answer
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        if begun:
            raise Recoverable(
                f"The answer to {path} is incomplete", remedy="Discard it and try again"
            ) from error
        if isinstance(error, aiohttp.ClientSSLError):
            raise Fatal(
                f"The worker at {_shown(base)} is not trusted: {trouble(error)}",
                remedy="Set http_ca_file to the authority of its certificate, and --url to a name "
                "that the certificate has",
            ) from error
        raise NoWorker(
            f"No worker answers at {_shown(base)}: {trouble(error)}",
            remedy="Start one with `emberline worker`, or set --url, or --http-host and "
            "--http-port",
        ) from error


async def asked(settings: Settings, method: str, path: str, *, json: Any = None) -> dict[str, Any]:
    """The worker's answer as one JSON object. Raises the errors of `call`."""
    async with call(settings, method, path, json=json) as answer:
        body = await answer.read()
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Fatal(
            f"The program at {_shown(address(settings))} is no worker: {path} gives no JSON object",
            remedy="Set --url, or --http-host and --http-port, to those of a worker",
        )
    return found


def _shown(base: str) -> str:
    return Address(base).shown


def _refusal(path: str, status: int, body: bytes) -> EmberlineError:
    try:
        problem = json.loads(body)
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        return Fatal(f"{path}: the worker answers {status}: {body[:200].decode(errors='replace')}")
    if status == HTTPStatus.UNAUTHORIZED:
        # what it says to programs is about a header
        detail = "The worker wants a key that it knows (401)"
    if status == 503:
        return Recoverable(detail, remedy=_REMEDIES.get(code, "Try again in a moment"))
    kind = UsageError if status == 400 else Fatal
    return kind(detail, remedy=_remedy(code, problem))


def _remedy(code: str, problem: Mapping[str, Any]) -> str:
    restore = problem.get("restore")
    if code == "source_hidden" and isinstance(restore, dict) and restore.get("sources"):
        return f"Bring it back with `emberline restore {' '.join(restore['sources'])}`"
    if problem.get("nearest"):
        return ""  # the detail names them
    return str(problem.get("remedy") or _REMEDIES.get(code, ""))
