"""Hypothetical changes to the catalog: definitions stopped, filters removed. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from agents.filters.references import UnreadableFilter, leaves, parse
from schemas.errors import UsageError
from schemas.records.lifecycle import Definition

__all__ = ["AsIf", "without"]


@dataclass(frozen=True, slots=True)
class AsIf:
    """`stopped` has keys of definitions. `without` has keys of definitions, or `KEY@PATH` for one
    part of a filter, with a JSON path as explanations show it (`canvas:c@$.filters.and[0]`).
    """

    stopped: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stopped or self.without)

    def __str__(self) -> str:
        said = [f"{key} stopped today" for key in self.stopped]
        said += [f"{removed} was removed today" for removed in self.without]
        return " and ".join(said)


def without(as_if: AsIf, catalog: Mapping[str, Definition]) -> dict[str, Definition]:
    """The changed definitions, after the removals.

    Raises UsageError for a definition or a path that does not exist.
    """
    for key in as_if.stopped:
        _known(key, catalog)
    changed: dict[str, Definition] = {}
    for removed in as_if.without:
        key, at, path = removed.partition("@")
        definition = changed.get(key) or _known(key, catalog)
        filters = _less(definition, path) if at else None
        changed[key] = replace(definition, filters=filters, updated_at=None)
    return changed


def _known(key: str, catalog: Mapping[str, Definition]) -> Definition:
    if key not in catalog:
        raise UsageError(
            f"The catalog has no definition {key}",
            remedy="Write campaign:ID, canvas:ID, segment:ID or content_card:ID",
        )
    return catalog[key]


def _less(definition: Definition, path: str) -> str:
    wanted = path.replace("$.filters", "$", 1)
    try:
        tree = parse(definition.filters)
        found = [leaf for leaf in leaves(tree) if _within(leaf.path, wanted)]
    except UnreadableFilter as error:
        raise UsageError(f"The filter of {definition.key} cannot be read: {error}") from error
    if not found:
        raise UsageError(
            f"{definition.key} has no filter at {path}",
            remedy="`emberline explain SOURCE` shows the paths",
        )
    for leaf in found:
        # an empty object is a filter that says nothing
        cast(dict[str, Any], leaf.node).clear()
    return json.dumps(tree)


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))
