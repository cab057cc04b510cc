"""Calls to a running worker: its address, the key, and problems told as errors."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from schemas.errors import EmberlineError, Fatal, Recoverable, UsageError
from streams.settings import Settings

__all__ = ["address", "call"]

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_REMEDIES = {
    "unknown_source": "`emberline status` lists the sources; write campaign:ID or canvas:ID",
    "shards_unavailable": "Try again in a moment",
    "unauthorized": "Set EMBERLINE_API_KEY to a key that the worker knows",
    "forbidden": "Set EMBERLINE_API_KEY to a key with that scope",
}


def address(settings: Settings) -> str:
    """The worker's address as the settings have it."""
    host = _ANYWHERE.get(settings.http_host, settings.http_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


@asynccontextmanager
async def call(
    settings: Settings,
    method: str,
    path: str,
    *,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Ask the worker; what it answers, with status 200.

    Raises UsageError where it does not understand what was asked, Fatal where it refuses or
    is not there, Recoverable where it may answer later or breaks off.
    """
    base = address(settings)
    key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    sent = {**key, **(headers or {})}
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, headers=sent) as session,
            session.request(method, base + path, json=json, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise _refusal(path, answer.status, await answer.read())
            yield answer
    except aiohttp.ClientConnectorError as error:
        raise Fatal(
            f"No worker answers at {base}",
            remedy="Start one with `emberline worker`, or set --http-host and --http-port",
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Recoverable(
            f"The answer to {path} broke off", remedy="Throw it away and try again"
        ) from error


def _refusal(path: str, status: int, body: bytes) -> EmberlineError:
    try:
        problem = json.loads(body)
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        return Fatal(f"{path}: the worker answers {status}: {body[:200].decode(errors='replace')}")
    if status == 503:
        return Recoverable(detail, remedy=_REMEDIES.get(code, "Try again in a moment"))
    kind = UsageError if status == 400 else Fatal
    return kind(detail, remedy=_remedy(code, problem))


def _remedy(code: str, problem: Mapping[str, Any]) -> str:
    restore = problem.get("restore")
    if code == "source_hidden" and isinstance(restore, dict) and restore.get("sources"):
        return f"Bring it back with `emberline restore {' '.join(restore['sources'])}`"
    return str(problem.get("remedy") or _REMEDIES.get(code, ""))
