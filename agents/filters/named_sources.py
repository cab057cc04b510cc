"""Names of sources in a filter that a person asks, turned into keys. Pure.

Definitions have ids and keys only: they are kept, and have to mean the same whatever sources are
called later. A question is answered once, and says what it was taken for.
"""

from collections.abc import Callable, Mapping
from typing import Any

from agents.filters.references import MAX_DEPTH, MAX_NODES
from agents.filters.spelling import SOURCE_FILTERS
from agents.names.form import MOST, form
from agents.names.index import NameIndex
from agents.names.resolve import MOST_CANDIDATES, AmbiguousSource, seen
from schemas.records.lifecycle import SourceState

__all__ = ["Understood", "with_keys"]

Understood = dict[str, SourceState]
"""What each text that was no key and no id was taken for."""


def with_keys(tree: Any, names: NameIndex, known: Callable[[str], bool]) -> tuple[Any, Understood]:
    """The filter, as JSON, with the key of each source that is called by its whole name; and what
    was understood. `known` says whether a key is one: an id comes before a name.

    What is no filter, and what names nothing, stays as it is: reading it says what is wrong. Raises
    AmbiguousSource.
    """
    understood: Understood = {}
    nodes = 0

    def written(node: Any, depth: int) -> Any:
        nonlocal nodes
        nodes += 1
        if not isinstance(node, dict) or depth > MAX_DEPTH or nodes > MAX_NODES:
            return node
        if "filter" in node:
            return _leaf(node, names, known, understood)
        return {
            word: [written(part, depth + 1) for part in value]
            if isinstance(value, list)
            else written(value, depth + 1)
            for word, value in node.items()
        }

    return written(tree, 0), understood


def _leaf(
    node: Mapping[str, Any], names: NameIndex, known: Callable[[str], bool], understood: Understood
) -> Mapping[str, Any]:
    name = node["filter"]
    kind = SOURCE_FILTERS.get(name) if isinstance(name, str) else None
    text = None if kind is None else node.get(kind)
    if kind is None or not isinstance(text, str):
        return node
    rest = text.removeprefix(f"{kind}:")
    if known(f"{kind}:{rest}") or known(f"{kind}:{text}") or not 0 < len(form(rest)) < MOST:
        return node
    found = names.named(form(rest), (kind,), MOST_CANDIDATES + 1)
    if len(found) > 1:
        because = f"is, or looks like, the name of several sources ({name})"
        listed, more = found[:MOST_CANDIDATES], len(found) > MOST_CANDIDATES
        raise AmbiguousSource(text, because, listed, more=more)
    if not found:
        return node
    understood[text] = seen(text, found[0], found[0].name)
    return {**node, kind: found[0].source}
