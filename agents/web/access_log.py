"""Who took out which users: a log of its own, a JSON object a line.

    time    when the answer ended, RFC 3339
    key     name of the key; null without keys
    from    address that asked: a proxy's where one stands between
    route   method and path, as /openapi.json has it
    of      what was asked for: a source, a segment, identifiers, a filter
    rows    rows or users that the answer had, also where it broke off
    status  of the answer; 499: the client left before it began
    whole   whether all of it was sent

Refusals of a key that lacks the scope are told too. The logger is `emberline.access`; the setting
`access_log` names a file for it.
"""

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from agents.web.caller import caller
from schemas.errors import Fatal

__all__ = ["LOGGER", "Access", "broken", "configure", "count", "note", "write"]

LOGGER = "emberline.access"
MOST_OF = 2_000
"""Bytes of what was asked for that are told."""

log = logging.getLogger(LOGGER)


@dataclass(slots=True)
class Access:
    """What is known of one answer."""

    of: Any = None
    rows: int = 0
    whole: bool = True


ACCESS: web.RequestKey[Access] = web.RequestKey("access", Access)


def note(request: web.Request, of: Any) -> None:
    """From here on the answer is one that has users in it: `of` is what was asked for."""
    _access(request).of = of


def count(request: web.Request, rows: int) -> None:
    """So many more rows or users are about to be sent."""
    _access(request).rows += rows


def broken(request: web.Request) -> None:
    """The answer is not sent as a whole."""
    if ACCESS in request:
        request[ACCESS].whole = False


def write(request: web.Request, route: str, status: int, now_ms: int) -> None:
    """Tell what was taken out, where something was."""
    found = request.get(ACCESS)
    if found is None:
        return
    of = orjson.dumps(found.of)
    key = caller(request)
    line = {
        "time": datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "key": None if key is None else key.name,
        "from": request.remote,
        "route": route,
        "of": found.of if len(of) <= MOST_OF else of[:MOST_OF].decode(errors="replace"),
        "rows": found.rows,
        "status": status,
        "whole": found.whole and status == 200,
    }
    log.info("%s", orjson.dumps(line).decode())


class _Owners(WatchedFileHandler):
    """Where the file is moved away a new one is begun: that one, too, for its owner alone."""

    def _open(self) -> Any:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=private)


def configure(file: str) -> None:
    """Tell it to this file, for its owner alone, instead of the worker's log. Raises Fatal."""
    if not file:
        return
    path = Path(file).expanduser()
    try:
        handler = _Owners(path, encoding="utf-8")
    except OSError as error:
        raise Fatal(
            f"The access log {path} cannot be written: {error.strerror}",
            remedy="Set access_log to a file that can be, or leave it out",
        ) from error
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _access(request: web.Request) -> Access:
    if ACCESS not in request:
        request[ACCESS] = Access()
    return request[ACCESS]
