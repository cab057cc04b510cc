"""The caller of a request: its key, and permissions beyond the route's scope."""

from contextlib import AbstractAsyncContextManager

from aiohttp import web

from agents.http.admission import WorkKind
from agents.http.keys import Key, Scope
from agents.http.problems import Problem
from agents.scatter.context import CONTEXT

__all__ = ["KEY", "caller", "lacking", "require", "slot"]

KEY: web.RequestKey[Key | None] = web.RequestKey("key", Key)
"""Set by the guard; None while the worker has no keys, and everything is allowed."""


def caller(request: web.Request) -> Key | None:
    """The key of the request; None without keys, and for routes that need none."""
    return request.get(KEY)


def slot(request: web.Request, work: WorkKind) -> AbstractAsyncContextManager[None]:
    """A slot for work of this kind, see admission.py. Raises Problem (429, 503)."""
    key = caller(request)
    slots = request.app[CONTEXT].admission.slots[work]
    return slots.slot(None if key is None else key.name)


def require(request: web.Request, scope: Scope, instead: str = "") -> None:
    """Raise Problem (403) unless the key allows `scope`, which the route alone does not require.
    `instead` names a request that does not need it.
    """
    key = caller(request)
    if key is not None and not key.allows(scope):
        raise lacking(key, scope, instead)


def lacking(key: Key, scope: Scope, instead: str = "") -> Problem:
    """403, naming the scope."""
    detail = f"The key {key.name!r} lacks the scope {scope.value}"
    return Problem("forbidden", f"{detail}{instead and f': {instead}'}", scope=scope)
