"""The access log: which key read which users, one JSON object on each line.

    time    when the answer ended, RFC 3339
    key     name of the key; null without keys
    from    address of the client; a proxy's if there is one in between
    route   method and path, as in /openapi.json
    of      the subject of the request: a source, a segment, identifiers, a filter
    rows    rows or users in the answer, also if it was not sent completely
    status  of the answer; 499: the client left before it began
    whole   whether all of it was sent

Refusals of a key that lacks the scope are logged too. The logger is `emberline.access`; the setting
`access_log` names a file for it. Without a file the lines go to the worker's log, which names no
users: `of` says so instead.
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
from streams.log_facts import facts

__all__ = ["LOGGER", "Access", "broken", "configure", "count", "note", "write"]

LOGGER = "emberline.access"
LEFT_OUT = "users: the setting access_log names a file for them"
MOST_OF = 2_000
"""Bytes of what was asked for that are told."""

log = logging.getLogger(LOGGER)


@dataclass(slots=True)
class Access:
    """The facts about one answer."""

    of: Any = None
    users: bool = False
    rows: int = 0
    whole: bool = True


ACCESS: web.RequestKey[Access] = web.RequestKey("access", Access)


def note(request: web.Request, of: Any, *, users: bool = False) -> None:
    """Mark the answer as one that has users in it: `of` is the subject of the request, and `users`
    says whether it names users.
    """
    found = _access(request)
    found.of, found.users = of, users


def count(request: web.Request, rows: int) -> None:
    """Count rows or users that are about to be sent."""
    _access(request).rows += rows


def broken(request: web.Request) -> None:
    """Mark the answer as incomplete."""
    if ACCESS in request:
        request[ACCESS].whole = False


def write(request: web.Request, route: str, status: int, now_ms: int) -> None:
    """Log the answer, if it has users in it."""
    found = request.get(ACCESS)
    if found is None:
        return
    about = LEFT_OUT if found.users and not log.handlers else found.of
    of = orjson.dumps(about)
    key = caller(request)
    line = {
        "time": datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "key": None if key is None else key.name,
        "from": request.remote,
        "route": route,
        "of": about if len(of) <= MOST_OF else of[:MOST_OF].decode(errors="replace"),
        "rows": found.rows,
        "status": status,
        "whole": found.whole and status == 200,
    }
    log.info("%s", orjson.dumps(line).decode(), extra=facts(access=line))


class _Owners(WatchedFileHandler):
    """A file handler: if the file is moved away, it creates a new one, which is private to its
    owner too.
    """

    def _open(self) -> Any:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=private)


def configure(file: str) -> None:
    """Write the access log to this file, private to its owner, instead of the worker's log. Raises
    Fatal.
    """
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
