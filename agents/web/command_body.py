"""Reads a call that changes something: the body, the id, the time to wait."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from agents.coordinator.rules.bounds import (
    MAX_SOURCES,
    REASON,
    RECIPIENTS,
    TEXT,
    WORD,
    command_fault,
    request_id_fault,
)
from agents.http.parameters import number
from agents.http.problems import bad_request
from agents.http.route import Schema, header, query
from agents.scatter.context import CONTEXT
from agents.web.caller import caller
from agents.web.command_match import SCHEMA_MATCH
from agents.web.source_names import keys_of
from schemas.records.lifecycle import Command, CommandType

__all__ = [
    "COMMON",
    "IDEMPOTENCY_KEY",
    "MANY",
    "SCHEMA_COMMON",
    "SCHEMA_LEGAL",
    "SCHEMA_MANY",
    "WAIT",
    "command_of",
    "schema",
    "wait_of",
]

LOCAL = "local"
"""Who asks where there are no keys: some program of the worker's machine."""
WAIT_S = 5
MOST_WAIT_S = 30

MANY = frozenset({"sources", "tag", "match"})
COMMON = frozenset({"dry_run", "reason", "notify"})

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_ID = re.compile(r"[!-~]{1,250}")

SCHEMA_MANY: Mapping[str, Schema] = {
    "sources": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": TEXT},
        "minItems": 1,
        "maxItems": MAX_SOURCES,
        "description": "`campaign:ID` and `canvas:ID`; or ids, names, and beginnings of at least "
        "4 characters that are unique",
    },
    "tag": {
        "type": "string",
        "minLength": 1,
        "maxLength": TEXT,
        "description": "All sources that have it when the command is read",
    },
    "match": SCHEMA_MATCH,
}
SCHEMA_COMMON: Mapping[str, Schema] = {
    "dry_run": {"type": "boolean", "description": "Check, and change nothing"},
    "reason": {"type": ["string", "null"], "maxLength": REASON, "description": "For the audit"},
    "notify": {
        "type": "array",
        "items": {"type": "string", "maxLength": WORD, "pattern": r"^[^@\s]+@[^@\s]+$"},
        "maxItems": RECIPIENTS,
        "description": "Mail addresses that are told once all of the request is over",
    },
}

SCHEMA_LEGAL: Mapping[str, Schema] = {
    "legal": {
        "type": "boolean",
        "description": "Of a hold, with a reason: a hold that is evidence. If a key proves who set "
        "it, only another key's owner may release it",
    }
}

IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "The id of the request: with the same one nothing is done twice",
    pattern="^[!-~]{1,250}$",
)
WAIT = query(
    "wait",
    "Seconds to wait for the coordinator's answer",
    type="integer",
    minimum=0,
    maximum=MOST_WAIT_S,
    default=WAIT_S,
)


def schema(members: Mapping[str, Schema], *needed: str, named: bool = False) -> Schema:
    """The schema of a body with these members and the common ones: all `needed`; with `named` also
    sources or a tag or both, or else a match.
    """
    found: dict[str, Any] = {
        "type": "object",
        "properties": {**members, **SCHEMA_COMMON},
        "additionalProperties": False,
    }
    if needed:
        found["required"] = list(needed)
    if named:
        by_name = {"anyOf": [{"required": ["sources"]}, {"required": ["tag"]}]}
        found["oneOf"] = [by_name, {"required": ["match"]}]
    return found


def command_of(
    request: web.Request,
    kind: str,
    body: Mapping[str, Any],
    sources: tuple[str, ...] = (),
    users: tuple[str, ...] = (),
) -> Command:
    """The command of a request, with its id and its sender. Raises Problem (400, 404, 409).

    `sources` are those in the address, by key; otherwise `body` may name them, by whatever people
    call them. `users` are those of an erasure.
    """
    key = caller(request)
    command = Command(
        type=kind,
        sources=sources or _texts(body, "sources", MAX_SOURCES),
        tag=_text(body, "tag"),
        users=users,
        dry_run=_flag(body, "dry_run"),
        request_id=_request_id(request),
        requested_by=LOCAL if key is None else key.name,
        notify=_texts(body, "notify", RECIPIENTS),
        reason=_text(body, "reason", null=True),
        legal=_flag(body, "legal"),
        actor=None if key is None else key.name,
    )
    for address in command.notify:
        if _ADDRESS.fullmatch(address) is None:
            raise bad_request(f"notify: {address[:80]!r} is no mail address")
    fault = command_fault(command)
    if fault is not None:
        raise bad_request(fault)
    if sources:
        return command
    return replace(command, sources=keys_of(request, command.sources, _stays(request, kind)))


def wait_of(request: web.Request) -> float:
    """Seconds to wait for the coordinator's answer. Raises Problem (400)."""
    text = request.query.get("wait")
    if text is None:
        return WAIT_S
    found = number(text)
    if found is None or found > MOST_WAIT_S:
        raise bad_request(f"wait is a number of seconds from 0 to {MOST_WAIT_S}, not {text[:40]!r}")
    return found


def _stays(request: web.Request, kind: str) -> Callable[[str], bool]:
    """Which texts are no sources: `cancel` takes ids of requests too."""
    context = request.app[CONTEXT]

    def stays(text: str) -> bool:
        requests, commands = context.requests, context.commands
        return requests.get(text) is not None or commands.sent(text) is not None

    return stays if kind == CommandType.CANCEL else lambda text: False


def _request_id(request: web.Request) -> str:
    found = request.headers.get("Idempotency-Key")
    if found is None:
        return uuid.uuid4().hex
    if len(found) > 1 and found[0] == found[-1] == '"':
        found = found[1:-1]  # as a structured header has a text
    if _ID.fullmatch(found) is None:
        raise bad_request("Idempotency-Key is 1 to 250 printable ASCII characters without a space")
    fault = request_id_fault(found)
    if fault is not None:
        raise bad_request(f"Idempotency-Key {fault}: take another one")
    return found


def _texts(body: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    found = body.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
        raise bad_request(f"{name} is a list of texts, none of them empty")
    if name in body and not found and name == "sources":
        raise bad_request("sources names one source at least")
    if len(found) > most:
        raise bad_request(f"{len(found)} {name} are more than {most}: ask in parts")
    return tuple(found)


def _text(body: Mapping[str, Any], name: str, *, null: bool = False) -> str | None:
    if name not in body or (null and body[name] is None):
        return None
    found = body[name]
    if not isinstance(found, str) or not (found or null):
        raise bad_request(f"{name} is a text")
    return found


def _flag(body: Mapping[str, Any], name: str) -> bool:
    found = body.get(name, False)
    if not isinstance(found, bool):
        raise bad_request(f"{name} is true or false")
    return found
