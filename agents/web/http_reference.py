"""The page of the HTTP calls, made from the routes."""

from collections.abc import Iterator

from agents.http.keys import Scope
from agents.http.route import Parameter, Route
from agents.reference.page import Page, Section, Table

__all__ = ["page"]

_ABOUT = "every HTTP call, its scope, its parameters and its problems"


def page(routes: tuple[Route, ...]) -> Page:
    """A table of all calls, then a section for each; calls between workers are left out."""
    shown = [route for route in routes if route.scope is not Scope.WORKER]
    return Page(
        "http",
        "HTTP calls",
        _ABOUT,
        (
            Section(
                text=(
                    "Each worker serves them, and all workers give the same answers. "
                    "`GET /openapi.json` has the same as OpenAPI 3.1, with the form of each body "
                    "and answer. A problem is a JSON object as RFC 9457 has it, with a `code`: "
                    "[codes.md](codes.md) lists them.",
                    "A scope is the right that a key needs (`emberline keys add NAME --scope "
                    "SCOPE`). Calls without a scope need no key. In a path, a source stands "
                    "for its key (`campaign:ID`, `canvas:ID`), its id, its name, or a beginning "
                    "that only one source has.",
                ),
                table=Table(
                    ("call", "scope", "what it does"),
                    tuple((_call(route), _scope(route), route.summary) for route in shown),
                ),
            ),
            *(section for route in shown for section in _details(route)),
        ),
    )


def _call(route: Route) -> str:
    return f"`{route.method} {route.path}`"


def _scope(route: Route) -> str:
    return f"`{route.scope.value}`" if route.scope is not None else ""


def _details(route: Route) -> Iterator[Section]:
    """What is not in the table already; nothing if there is no more to say."""
    text = []
    if route.note:
        text.append(route.note.strip())
    if route.body is not None:
        form = "A JSON object" + (", which may be left out." if route.body_optional else ".")
        named = route.body.get("properties")
        members = ", ".join(f"`{name}`" for name in named) if named else ""
        text.append(f"Body: {form}{f' Members: {members}.' if members else ''}")
    if route.answers:
        media = ", ".join(f"`{media}`" for media in route.answers)
        codes = ", ".join(map(str, route.statuses))
        text.append(f"Answer: {codes}, as {media}.")
    if route.problems:
        listed = ", ".join(f"`{code}`" for code in route.problems)
        text.append(f"Problems of its own: {listed}.")
    table = None
    if route.parameters:
        table = Table(
            ("parameter", "in", "what it says"),
            tuple((f"`{one.name}`", one.where, _said(one)) for one in route.parameters),
        )
    if text or table is not None:
        yield Section(f"{route.method} {route.path}", tuple(text), table)


def _said(parameter: Parameter) -> str:
    """The words of a parameter, with the values that it may have."""
    schema = parameter.schema
    values = schema.get("enum") or schema.get("items", {}).get("enum") or ()
    one_of = f" (one of {', '.join(f'`{value}`' for value in values)})" if values else ""
    default = f" Default: `{schema['default']}`." if "default" in schema else ""
    needed = " Required." if parameter.required and parameter.where != "path" else ""
    return f"{parameter.doc.rstrip('.')}{one_of}.{default}{needed}"
