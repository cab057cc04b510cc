"""Sources in requests: people write a key, an id, a name or a beginning; handlers get keys.

Parameters that are marked as sources are resolved before the handler runs. Bodies of commands are
resolved by `keys_of`. What was written otherwise than as a key is kept, and the answer to a command
says what was understood (`understood`).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from agents.filters.named_sources import with_keys
from agents.http.keys import Scope
from agents.http.problems import Problem, ambiguous_source, bad_request, unknown_source
from agents.http.route import Handler, Parameter, Route
from agents.names.resolve import AmbiguousSource, UnknownName, check_request, resolve, unknown
from agents.scatter.context import CONTEXT, WorkerContext
from agents.scatter.visible import states_read
from schemas.records.lifecycle import is_source

__all__ = [
    "definition_key",
    "filter_keys",
    "key_of",
    "keys_of",
    "resolved_sources",
    "source_asked",
    "source_headers",
    "source_of",
    "understood",
    "understood_header",
    "unknown_key",
]

MOST_HEADER = 2_000
MOST_NAMED = 1_000
"""Sources of one body that are named otherwise than by key."""

_SOURCES: web.RequestKey[dict[str, str]] = web.RequestKey("sources", dict)
_UNDERSTOOD: web.RequestKey[dict[str, str]] = web.RequestKey("understood", dict)


def resolved_sources(routes: Iterable[Route]) -> Middleware:
    """Middleware that finds the keys of the sources in paths and queries.

    What looks like a key and is none that is known is left to the handler. Raises Problem (404 for
    an unknown name, 409 for an ambiguous one), Unavailable.
    """
    parameters: dict[tuple[str, str], tuple[Sequence[Parameter], bool]] = {
        (route.method, route.path): (
            [one for one in route.parameters if one.source],
            route.scope is Scope.OPERATE,
        )
        for route in routes
    }

    @web.middleware
    async def resolved(request: web.Request, handler: Handler) -> web.StreamResponse:
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        resource = request.match_info.route.resource
        at = "" if resource is None else resource.canonical
        named, changes = parameters.get((method, at), ((), False))
        found = request[_SOURCES] = {}
        for one in named:
            given = request.match_info if one.where == "path" else request.query
            if one.name in given:
                found[one.name] = key_of(request, given[one.name], changes=changes)
        return await handler(request)

    return resolved


def source_of(request: web.Request) -> str:
    """The key of the source that the path names."""
    return request[_SOURCES]["source"]


def source_asked(request: web.Request, name: str = "source") -> str | None:
    """The key of the source that the query names, if it names one."""
    return request[_SOURCES].get(name)


def key_of(request: web.Request, text: str, *, changes: bool = False) -> str:
    """The key of the source that a text names; what looks like a key and is not known stays as it
    is. Raises Problem (404, 409), Unavailable.
    """
    context = request.app[CONTEXT]
    if context.states.get(text) is not None:
        return text
    exact = is_source(text)
    if exact and (changes or not context.states.caught_up.is_set()):
        return text
    states_read(context)
    try:
        key = resolve(text, context.states.names, changes=changes).source
    except AmbiguousSource as error:
        raise ambiguous_source(error) from error
    except UnknownName as error:
        if exact:
            return text
        raise unknown_source(error) from error
    request.setdefault(_UNDERSTOOD, {})[text] = key
    return key


def definition_key(request: web.Request, text: str) -> str:
    """The key of a definition: of a source, as `key_of` finds it, or of anything else as it is
    written. Raises Problem (409), Unavailable.
    """
    catalog = request.app[CONTEXT].catalog
    if catalog.get(text) is not None or text in catalog.quarantined:
        return text
    if ":" in text and not is_source(text):
        return text
    try:
        return key_of(request, text)
    except Problem as problem:
        if problem.code != "unknown_source":
            raise
        return text


def keys_of(
    request: web.Request,
    texts: Sequence[str],
    stays: Callable[[str], bool] = lambda text: False,
) -> tuple[str, ...]:
    """The keys of the sources that a command names, each once. Ids of requests, of which `stays` is
    true, remain as they are. Raises Problem (400, 404, 409), Unavailable.
    """
    named = sum(not is_source(text) for text in texts)
    if named > MOST_NAMED:
        raise bad_request(
            f"{named} sources are named otherwise than by key: at most {MOST_NAMED} may be"
        )
    names = request.app[CONTEXT].states.names
    found: dict[str, None] = {}
    for text in texts:
        if not is_source(text) and stays(text):
            try:
                check_request(text, names)
            except AmbiguousSource as error:
                raise ambiguous_source(error) from error
            found[text] = None
        else:
            found[key_of(request, text, changes=True)] = None
    return tuple(found)


def filter_keys(request: web.Request, tree: Any) -> Any:
    """The filter of a question with keys in place of whole names. Raises Problem (409)."""
    context = request.app[CONTEXT]
    states, catalog = context.states, context.catalog

    def known(key: str) -> bool:
        return states.get(key) is not None or catalog.get(key) is not None

    try:
        found, meant = with_keys(tree, states.names, known)
    except AmbiguousSource as error:
        raise ambiguous_source(error) from error
    request.setdefault(_UNDERSTOOD, {}).update(
        {text: record.source for text, record in meant.items()}
    )
    return found


def understood_header(request: web.Request) -> dict[str, str]:
    """A header with what `understood` has, for answers without a place for it; the first ones."""
    pairs, room = [], MOST_HEADER
    for text, key in request.get(_UNDERSTOOD, {}).items():
        pair = f"{quote(text, safe='')}={quote(key, safe=':')}"
        room -= len(pair) + 1
        if room < 0:
            break
        pairs.append(pair)
    return {"Emberline-Understood": ",".join(pairs)} if pairs else {}


def understood(request: web.Request) -> list[dict[str, str]]:
    """What was named otherwise than by key, and what that was taken for."""
    states = request.app[CONTEXT].states
    found = request.get(_UNDERSTOOD, {})
    return [
        {"given": text, "source": key, "name": "" if record is None else record.name}
        for text, key in found.items()
        for record in (states.get(key),)
    ]


def unknown_key(context: WorkerContext, source: str) -> Problem:
    """404 for a key that nothing names, with the sources that may be meant."""
    return unknown_source(unknown(source, context.states.names))


def source_headers(request: web.Request, source: str) -> dict[str, str]:
    """Headers of an answer without a place for them: which source it is about."""
    record = request.app[CONTEXT].states.get(source)
    name = "" if record is None else record.name
    return {
        "Emberline-Source": quote(source, safe=":"),
        "Emberline-Source-Name": quote(name[:250]),
    }
