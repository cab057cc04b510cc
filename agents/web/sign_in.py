"""The key of a request: from its header `Authorization`, or from the session of a browser."""

from dataclasses import dataclass

from aiohttp import hdrs, web

from agents.http.keyring import KeysLost
from agents.http.keys import Key, Keys
from agents.http.origin import check_site
from agents.http.problems import Problem
from agents.http.session import Session, find
from agents.scatter.context import CONTEXT, WorkerContext

__all__ = ["COOKIE", "SignedIn", "check_change", "session_of", "signed_in", "still_valid"]

COOKIE = "emberline-session"
_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A key, and the session if a browser sent it."""

    key: Key
    session: Session | None = None


def signed_in(request: web.Request, keys: Keys) -> SignedIn | None:
    """Who sends the request; None if it has no valid key. The header counts if there is one.

    A browser sends its session with each request, also with those that a page of another site
    makes. So a request with a session has to come from a page of this host: raises Problem (403).
    """
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is not None:
        kind, _, token = header.partition(" ")
        key = keys.find(token.strip()) if kind.lower() == "bearer" else None
        return None if key is None else SignedIn(key)
    session = session_of(request, keys)
    if session is None:
        return None
    check = check_site if request.method in _READING else check_change
    check(request)
    return SignedIn(session.key, session)


def session_of(request: web.Request, keys: Keys) -> Session | None:
    """The valid session of the request's cookie."""
    context = request.app[CONTEXT]
    text = request.cookies.get(COOKIE, "")
    return find(keys, text, context.ended_sessions, context.clock.now_ms())


def still_valid(context: WorkerContext, key: Key | None, session: Session | None) -> bool:
    """Whether a request of this key and session, which was let in, would be let in now. `key` None:
    the worker had no keys.
    """
    try:
        keys = context.keyring.keys
    except KeysLost:
        return False
    if key is None or keys is None:
        return key is None and keys is None
    if session is not None:
        ended = context.ended_sessions.has(key.hash, session.nonce, session.until)
        if ended or session.until <= context.clock.now_ms():
            return False
    return key in keys.keys


def check_change(request: web.Request) -> None:
    """Raise Problem (403) unless a page of this host sends the request. Each browser says so
    whenever it sends something else than GET and HEAD.
    """
    check_site(request)
    if hdrs.ORIGIN not in request.headers:
        raise Problem(
            "cross_site",
            "A change with a session needs the header Origin, which browsers send: programs send "
            "Authorization: Bearer KEY instead",
        )
