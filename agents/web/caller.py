"""The caller of a request: its key, and permissions beyond the route's scope."""

from contextlib import AbstractAsyncContextManager

from aiohttp import web

from agents.http.admission import WorkKind
from agents.http.keys import Key, Scope
from agents.http.problems import Problem
from agents.http.session import Session
from agents.scatter.context import CONTEXT

__all__ = ["KEY", "SESSION", "allowed", "caller", "lacking", "require", "slot"]

KEY: web.RequestKey[Key | None] = web.RequestKey("key", Key)
"""Set by the guard; None while the worker has no keys, and everything is allowed."""

SESSION: web.RequestKey[Session | None] = web.RequestKey("session", Session)
"""Set by the guard beside the key: the browser's session, None if the key itself was sent."""


def caller(request: web.Request) -> Key | None:
    """The key of the request; None without keys, and for routes that need none."""
    return request.get(KEY)


def slot(request: web.Request, work: WorkKind) -> AbstractAsyncContextManager[None]:
    """A slot for work of this kind, see admission.py. Raises Problem (429, 503)."""
    key = caller(request)
    slots = request.app[CONTEXT].admission.slots[work]
    return slots.slot(None if key is None else key.name)


def allowed(request: web.Request, scope: Scope) -> bool:
    """Whether the caller's key allows `scope`; without keys everything is allowed."""
    key = caller(request)
    return key is None or key.allows(scope)


def require(request: web.Request, scope: Scope, instead: str = "") -> None:
    """Raise Problem (403) unless the key allows `scope`, which the route alone does not require.
    `instead` names a request that does not need it.
    """
    key = caller(request)
    if key is not None and not allowed(request, scope):
        raise lacking(key, scope, instead)


def lacking(key: Key, scope: Scope, instead: str = "") -> Problem:
    """403, naming the scope."""
    detail = f"The key {key.name!r} lacks the scope {scope.value}"
    return Problem("forbidden", f"{detail}{instead and f': {instead}'}", scope=scope)
