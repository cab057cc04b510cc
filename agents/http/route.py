"""A route: its path, its scope, its parameters and its answers.

Each route is in `ROUTES` beside its handler. The application's router, the check of scopes and
`/openapi.json` are made from it, so only described routes are served.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from aiohttp import web

from agents.http.admission import WorkKind
from agents.http.keys import Scope

__all__ = [
    "SOURCE",
    "Handler",
    "Parameter",
    "Route",
    "Schema",
    "header",
    "path",
    "query",
    "ref",
    "several",
    "source_query",
]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Schema = Mapping[str, Any]
"""A JSON schema (2020-12), as OpenAPI 3.1 has them."""

ANY: Schema = MappingProxyType({})
_TEXT: Schema = MappingProxyType({"type": "string"})
_PART = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a path or a query."""

    name: str
    where: Literal["path", "query", "header"]
    schema: Schema
    doc: str
    required: bool = False
    source: bool = False
    """Whether it names a source: agents/web/source_names.py finds its key."""


def path(name: str, doc: str, **schema: Any) -> Parameter:
    """A part of the path: a text, unless `schema` says otherwise."""
    found = {"type": "string", "minLength": 1, **schema}
    return Parameter(name=name, where="path", schema=found, doc=doc, required=True)


def query(name: str, doc: str, *, required: bool = False, **schema: Any) -> Parameter:
    """A part of the query: a text, unless `schema` says otherwise."""
    found = {"type": "string", **schema}
    return Parameter(name=name, where="query", schema=found, doc=doc, required=required)


def several(name: str, doc: str, words: Sequence[str] = ()) -> Parameter:
    """A part of the query that may be given several times; one of `words`, if there are any."""
    items = {"type": "string", "enum": [str(word) for word in words]} if words else dict(_TEXT)
    return Parameter(name=name, where="query", schema={"type": "array", "items": items}, doc=doc)


def source_query(name: str, doc: str) -> Parameter:
    """A part of the query that names a source, by whatever people call it."""
    schema = {"type": "string", "minLength": 1}
    return Parameter(name=name, where="query", schema=schema, doc=f"{doc}: {_CALLED}", source=True)


def header(name: str, doc: str, **schema: Any) -> Parameter:
    """A header of the request: a text unless `schema` says otherwise."""
    return Parameter(name=name, where="header", schema={"type": "string", **schema}, doc=doc)


def ref(name: str) -> Schema:
    """A schema of agents/web/shapes.py by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. `scope` None: no key needed. `note` is an addition to the description of the
    scope. `work` is the kind of work of an answer, see admission.py; None if the handler itself
    asks for a slot.

    `answers` has the schema of a successful answer by media type, `statuses` its possible statuses;
    with `location` it may have that header. `body` is the schema of a JSON request, which may be
    absent if `body_optional`. With `etag` the answer has an ETag, and 304 is possible too.
    `problems` are codes of agents/http/problems.py; codes that every route may have need
    not be listed. Routes of scope `worker` are not part of the contract. A part of the path in
    braces matches any text without a slash, braces included.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    summary: str
    scope: Scope | None
    note: str = ""
    work: WorkKind | None = WorkKind.LOOK_UP
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    body_optional: bool = False
    statuses: tuple[int, ...] = (200,)
    location: bool = False
    etag: bool = False
    answers: Mapping[str, Schema] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """The path for aiohttp, whose default pattern of a part accepts no braces."""
        return _PART.sub(r"{\1:[^/]+}", self.path)


_CALLED = "its key (`campaign:ID`, `canvas:ID`), its id, its name, or a beginning that is unique"
SOURCE = Parameter(
    name="source",
    where="path",
    schema={"type": "string", "minLength": 1, "examples": ["campaign:welcome"]},
    doc=f"The source: {_CALLED}",
    required=True,
    source=True,
)
"""A source in a path."""
