"""GET /openapi.json: the contract of the HTTP interface, made from the routes."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from aiohttp import web

from agents.http.keys import Scope
from agents.http.problems import CODES
from agents.http.route import Parameter, Route
from agents.web.document import Document
from agents.web.request_shapes import REQUESTS
from agents.web.shapes import COMPONENTS
from agents.web.sign_in import COOKIE

__all__ = ["ROUTES", "document", "install"]

_ALWAYS = ("no_certificate", "foreign_host", "proxied", "cross_site", "internal")
_GUARDED = (
    *("unauthorized", "forbidden", "too_many_requests", "request_too_large"),
    *("busy", "keys_lost", "time_limit"),
)
_HEADERS = {429: ("Retry-After", "X-RateLimit-Reset"), 503: ("Retry-After",)}
_DOCUMENT = Document("/openapi.json", "This document")


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of all routes except those between workers."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.scope is not Scope.WORKER:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "emberline",
            "version": version("emberline"),
            "description": "Engagement data, hot as long as it is used. Errors are problem "
            "documents (RFC 9457) with a `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**COMPONENTS, **REQUESTS, "Problem": _problem(CODES)},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `emberline keys add`. A worker without keys serves "
                    "its own machine only, and asks for none.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "What `POST /session` gives a browser for a key. A change also "
                    "needs the header `Origin`, of the same host.",
                },
            },
        },
    }


def install(app: web.Application, routes: Iterable[Route]) -> None:
    """Make the document."""
    _DOCUMENT.install(app, document(routes))


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "responses": _responses(route),
        "security": [{"key": []}, {"session": []}, {}] if route.scope is not None else [],
    }
    if route.scope is not None:
        found["description"] = f"Takes a key of scope `{route.scope.value}`.{route.note}"
    if route.parameters:
        found["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        found["requestBody"] = {"required": not route.body_optional, "content": content}
    return found


def _name(route: Route) -> str:
    words = [word.strip("{}.").replace(".", "_") for word in route.path.split("/") if word]
    return "_".join([route.method.lower(), *(words or ["root"])])


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.doc,
        "schema": parameter.schema,
    }


def _responses(route: Route) -> dict[str, Any]:
    content = {media: {"schema": schema} for media, schema in route.answers.items()}
    good: dict[str, Any] = {"description": route.summary, "content": content}
    if route.location or route.etag:
        names = ["Location"] * route.location + ["ETag"] * route.etag
        good["headers"] = {name: {"schema": {"type": "string"}} for name in names}
    found: dict[str, Any] = {str(status): good for status in route.statuses}
    if route.etag:
        found["304"] = {"description": "As `If-None-Match` has it"}
    codes = {*route.problems, *_ALWAYS, *(_GUARDED if route.scope is not None else ())}
    if route.body is not None:
        codes |= {"unsupported_media_type", "body_timeout"}
    if any(parameter.source for parameter in route.parameters):
        codes |= {"unknown_source", "ambiguous_source", "shards_unavailable"}
    if any(parameter.where == "path" for parameter in route.parameters):
        codes.add("not_found")
    by_status: dict[int, list[str]] = {}
    for code in (code for code in CODES if code in codes):
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, here in sorted(by_status.items()):
        described = "; ".join(f"`{code}`: {CODES[code][1]}" for code in here)
        schema = {"$ref": "#/components/schemas/Problem"}
        found[str(status)] = {
            "description": described,
            "content": {"application/problem+json": {"schema": schema}},
        }
        if status in _HEADERS:
            headers = {name: {"schema": {"type": "integer"}} for name in _HEADERS[status]}
            found[str(status)]["headers"] = headers
    return found


def _problem(codes: Iterable[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["status", "title", "detail", "code", "message"],
        "properties": {
            "status": {"type": "integer"},
            "title": {"type": "string"},
            "detail": {"type": "string"},
            "code": {"enum": list(codes)},
            "message": {"type": "string", "description": "As `detail`"},
        },
    }


ROUTES = (_DOCUMENT.route,)
