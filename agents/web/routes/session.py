"""/session: a browser exchanges a key for a cookie, asks who it is, and signs out."""

from typing import Any

from aiohttp import hdrs, web
from yarl import URL

from agents.http import body
from agents.http.keyring import KeysLost
from agents.http.keys import ISSUED, Key, Keys, Scope
from agents.http.problems import Problem, bad_request, try_again
from agents.http.route import Route, ref
from agents.http.session import SESSION_S, begin, end_of
from agents.scatter.context import CONTEXT, WorkerContext
from agents.web.answer import json_answer
from agents.web.sign_in import COOKIE, check_change, session_of, signed_in
from agents.web.sign_out import ENDED, end_everywhere, note_ended

__all__ = ["ROUTES"]

_MOST_BYTES = 4096


async def who(request: web.Request) -> web.Response:
    """The name and the scopes of whoever asks; without keys everything is allowed."""
    context = request.app[CONTEXT]
    keys = _keys(context)
    if keys is None:
        return json_answer(_facts(context, None, None))
    found = signed_in(request, keys)
    if found is None:
        return json_answer(_nobody())
    until = None if found.session is None else found.session.until
    return json_answer(_facts(context, found.key, until))


async def sign_in(request: web.Request) -> web.Response:
    """Give a cookie for a key.

    Only wrong keys are limited, by address: keys are too long to be guessed, and behind a proxy all
    browsers have one address, at which nobody shall keep the others out.
    """
    context = request.app[CONTEXT]
    check_change(request)
    request[body.MOST] = _MOST_BYTES
    found = await body.read_object(request, frozenset({"key"}))
    token = found.get("key")
    if not isinstance(token, str) or not token:
        raise bad_request("key is a text that `emberline keys add` gave out")
    keys = _keys(context)
    if keys is None:
        raise bad_request("This worker has no keys, so there is nothing to sign in to")
    key = keys.find(token.strip())
    if key is None:
        wait = context.sign_ins.wait(request.remote or "", context.clock.monotonic_s())
        if wait:
            headers = try_again(wait, context.clock.now_ms())
            detail = "Too many wrong keys from this address"
            raise Problem("too_many_requests", detail, headers=headers)
        raise Problem("unauthorized", "There is no such key, or it was revoked")
    now_ms = context.clock.now_ms()
    try:
        text = begin(keys, key, now_ms)
    except ValueError as error:
        raise Problem("keys_lost", f"No session can be signed: {error}") from error
    answer = json_answer(_facts(context, key, end_of(now_ms)))
    answer.set_cookie(
        COOKIE, text, max_age=SESSION_S, httponly=True, samesite="Strict", secure=_secure(request)
    )
    return answer


async def sign_out(request: web.Request) -> web.Response:
    """End the session: its cookie is refused from now on, by this worker and those it reaches."""
    check_change(request)
    context = request.app[CONTEXT]
    keys = _keys(context)
    session = None if keys is None else session_of(request, keys)
    everywhere = True
    if session is not None:
        everywhere = await end_everywhere(context, session)
    found = _facts(context, None, None) if keys is None else _nobody()
    answer = json_answer(found | {"everywhere": everywhere})
    answer.del_cookie(COOKIE, httponly=True, samesite="Strict", secure=_secure(request))
    return answer


async def ended(request: web.Request) -> web.Response:
    """Another worker has ended a session."""
    await note_ended(request.app[CONTEXT], await body.read(request, _MOST_BYTES))
    return json_answer({})


def _keys(context: WorkerContext) -> Keys | None:
    try:
        keys = context.keyring.keys
    except KeysLost as error:
        raise Problem("keys_lost", str(error)) from error
    return Keys() if keys is None and context.settings.require_keys else keys


def _secure(request: web.Request) -> bool:
    """Whether the browser's connection is encrypted; a proxy may have decrypted it."""
    return request.secure or URL(request.headers.get(hdrs.ORIGIN, "")).scheme == "https"


def _facts(context: WorkerContext, key: Key | None, until: int | None) -> dict[str, Any]:
    return {
        "keys": key is not None,
        "name": None if key is None else key.name,
        "scopes": [scope.value for scope in (ISSUED if key is None else key.scopes)],
        "until": until,
        "now": context.clock.now_ms(),
    }


def _nobody() -> dict[str, Any]:
    return {"keys": True, "name": None, "scopes": [], "until": None, "now": None}


_ANSWERS = {"application/json": ref("Session")}

ROUTES = (
    Route(
        method="GET",
        path="/session",
        handler=who,
        summary="Who asks, with which scopes",
        scope=None,
        answers=_ANSWERS,
        problems=("cross_site", "keys_lost"),
    ),
    Route(
        method="POST",
        path="/session",
        handler=sign_in,
        summary="Sign in from a browser: a cookie for a key",
        scope=None,
        body=ref("SignIn"),
        answers=_ANSWERS,
        problems=(
            *("bad_request", "unauthorized", "cross_site", "too_many_requests"),
            *("request_too_large", "keys_lost"),
        ),
    ),
    Route(
        method="DELETE",
        path="/session",
        handler=sign_out,
        summary="Sign out: the cookie is refused from now on",
        scope=None,
        answers={"application/json": ref("SignedOut")},
        problems=("cross_site", "keys_lost"),
    ),
    Route(
        method="POST",
        path=ENDED,
        handler=ended,
        summary="A session that another worker has ended",
        scope=Scope.WORKER,
    ),
)
