"""Parses the JSON of a filter into typed nodes."""

from collections.abc import Iterator, Mapping
from typing import Any

from agents.filters import references
from agents.filters.arguments import Arguments
from agents.filters.errors import FilterError
from agents.filters.nodes import And, Filter, InSegment, Node, Not, Opaque, Or, SourceFilter
from agents.filters.references import MAX_DEPTH, MAX_NODES, UnreadableFilter, Use
from agents.filters.vocabulary import VOCABULARY
from schemas.words.nearest import nearest

__all__ = ["leaves", "parse", "parse_text", "uses"]

_WORDS = ("and", "or", "not", "filter")
_SHAPES = 'Use {"and": [..]}, {"or": [..]}, {"not": ..} or {"filter": NAME, ..}'


def parse(tree: object, *, opaque: bool = False) -> Node:
    """The nodes of a filter. Raises FilterError, naming the path, for anything that is not
    understood.

    With `opaque` a leaf of an unknown name, or an object of an unknown shape, becomes an `Opaque`
    leaf: definitions may contain filters of the platform that do not concern interactions. Queries
    are parsed without `opaque`.
    """
    return _Parser(opaque).node(tree, "$", 1)


def parse_text(text: str | None, *, opaque: bool = False) -> Node | None:
    """The nodes of the filter in a definition's JSON text; None if it has no filter."""
    try:
        tree = references.parse(text)
    except UnreadableFilter as error:
        raise FilterError(
            error.path, "bad_node", error.detail, remedy="Write the filter as JSON"
        ) from error
    return None if tree is None else parse(tree, opaque=opaque)


def leaves(node: Node) -> Iterator[tuple[Filter, bool]]:
    """Every leaf as written, and whether it is negative: an odd number of `not` and `has: false` on
    its path, including its own.
    """
    pending = [(node, False)]
    while pending:
        one, negative = pending.pop()
        if isinstance(one, And | Or):
            pending.extend((part, negative) for part in reversed(one.parts))
        elif isinstance(one, Not):
            pending.append((one.part, not negative))
        else:
            yield one, negative ^ (not one.has)


def uses(node: Node) -> frozenset[Use]:
    """The direct uses of the filter: `references.uses` of a filter that can be parsed."""
    found = set()
    for leaf, _ in leaves(node):
        if isinstance(leaf, SourceFilter):
            found.add(Use(leaf.source, leaf.name))
        elif isinstance(leaf, InSegment):
            found.add(Use(leaf.segment, leaf.name))
    return frozenset(found)


class _Parser:
    def __init__(self, opaque: bool) -> None:
        self._opaque = opaque
        self._nodes = 0

    def node(self, tree: object, path: str, depth: int) -> Node:
        self._nodes += 1
        if depth > MAX_DEPTH:
            detail = f"deeper than {MAX_DEPTH} levels"
            raise FilterError(path, "too_deep", detail, remedy="Nest the filter less")
        if self._nodes > MAX_NODES:
            detail = f"more than {MAX_NODES} nodes"
            raise FilterError(path, "too_large", detail, remedy="Put parts of it into segments")
        if not isinstance(tree, dict):
            raise FilterError(path, "bad_node", "a filter is an object", remedy=_SHAPES)
        if "filter" in tree:
            return self._leaf(tree, path)
        if len(tree) == 1:
            ((word, value),) = tree.items()
            if word == "not":
                return Not(self.node(value, f"{path}.not", depth + 1))
            if word in ("and", "or"):
                parts = self._parts(value, f"{path}.{word}", depth + 1)
                return And(parts) if word == "and" else Or(parts)
        if self._opaque and not any(word in tree for word in _WORDS):
            return Opaque(name="", path=path)
        keys = ", ".join(str(key)[:40] for key in list(tree)[:5]) or "nothing"
        detail = f"an object with {keys} is no filter"
        raise FilterError(path, "bad_node", detail, remedy=_SHAPES)

    def _parts(self, value: object, path: str, depth: int) -> tuple[Node, ...]:
        if not isinstance(value, list):
            detail = "a list of filters is expected"
            raise FilterError(path, "bad_node", detail, remedy=_SHAPES)
        return tuple(self.node(part, f"{path}[{at}]", depth) for at, part in enumerate(value))

    def _leaf(self, tree: Mapping[str, Any], path: str) -> Filter:
        name = tree["filter"]
        if not isinstance(name, str):
            detail = "the name of a filter is a text"
            raise FilterError(f"{path}.filter", "bad_node", detail, remedy=_SHAPES)
        reader = VOCABULARY.get(name)
        if reader is None:
            if self._opaque:
                return Opaque(name=name, has=tree.get("has") is not False, path=path)
            near = nearest(name, VOCABULARY) or ", ".join(sorted(VOCABULARY))
            raise FilterError(
                f"{path}.filter",
                "unknown_filter",
                f"there is no filter {name[:80]!r}",
                remedy=f"Use {near}",
            )
        arguments = Arguments(tree, name, path)
        leaf = reader(arguments, name, arguments.has(), path)
        arguments.finish()
        return leaf
