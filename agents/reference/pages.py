"""Every page by its name. Each is imported when it is asked for: a help text needs only one."""

import importlib
from collections.abc import Callable, Mapping
from typing import cast

from agents.reference.page import Page
from schemas.errors import UsageError
from schemas.words.nearest import hint

__all__ = ["ABOUT", "NAMES", "WRITTEN", "page"]

ABOUT: Mapping[str, str] = {
    "filters": "every filter and its arguments",
    "states": "the lifecycle states of a source",
    "codes": "why commands, requests and records are refused; exit codes",
    "definitions": "the fields of a definition in the catalog",
    "commands": "the fields of a command on the control topic",
    "settings": "every setting and its default",
    "metrics": "every metric of GET /metrics",
    "topics": "every topic: who writes and reads it, and how long it keeps what",
    "decisions": "the decisions in the audit",
    "records": "the schema ids and the fields of every record",
}
"""Name of the page -> what it has, in the order in which pages are listed."""

NAMES = tuple(ABOUT)

WRITTEN = tuple(name for name in NAMES if name != "filters")
"""The pages of docs/reference; the tables of the filters are in docs/filters.md."""


def page(name: str) -> Page:
    """The page of this name. Raises UsageError for another word."""
    if name not in ABOUT:
        raise UsageError(f"There is no page {name[:80]!r}", remedy=hint(name, NAMES))
    module = importlib.import_module(f"agents.reference.{name}")
    make = cast("Callable[[], Page]", module.page)
    return make()
