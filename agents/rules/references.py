"""Who uses a source: the one reading of filters that exemption rests on.

A filter is walked as `leaves`; a leaf names a source (the 14 specific filters), a segment
(`in_segment`), a tag, or nothing of interest. A root is an active campaign, Canvas, Content
Card (or segment, a setting); it keeps hot what it uses, also through segments.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.lifecycle import Definition, Exemption, Status, is_source, kind_of

__all__ = [
    "EXEMPTIONS_SHOWN",
    "MAX_DEPTH",
    "MAX_NODES",
    "SOURCE_FILTERS",
    "TAG_FILTERS",
    "Leaf",
    "UnreadableFilter",
    "Use",
    "exemptions",
    "leaves",
    "parse",
    "qualify",
    "use_of",
    "uses",
]

MAX_DEPTH = 32
MAX_NODES = 1_000
EXEMPTIONS_SHOWN = 10
"""A popular source may have thousands of users: its record names the nearest."""

CHAIN_SHOWN = 16
"""Segments of a chain that its record names, those nearest to the root."""

SOURCE_FILTERS: Mapping[str, str] = {
    "clicked_alias_in_campaign": "campaign",
    "clicked_alias_in_canvas_step": "canvas",
    "clicked_opened_campaign": "campaign",
    "clicked_opened_step": "canvas",
    "converted_from_campaign": "campaign",
    "converted_from_canvas": "canvas",
    "entered_canvas_variation": "canvas",
    "in_campaign_control_group": "campaign",
    "in_canvas_control_group": "canvas",
    "last_received_from_campaign": "campaign",
    "last_received_from_step": "canvas",
    "received_campaign_variant": "campaign",
    "received_from_campaign": "campaign",
    "received_from_step": "canvas",
}
"""The filters that rest on one source, and the argument that names it."""

TAG_FILTERS = frozenset({"received_with_tag", "clicked_opened_with_tag", "last_received_with_tag"})


class UnreadableFilter(ValueError):
    """A filter that cannot be walked: no JSON, not a filter's shape, too deep, too large.

    `path` says where in the filter, as a JSON path.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf: where it stands, what it is called, its arguments, and its polarity.

    `negative` counts every `not` and every `has: false` on the path, the leaf's own included.
    """

    path: str
    name: str
    node: Mapping[str, Any]
    negative: bool


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One direct use: of a source or a segment (full key), by a filter or `references`."""

    target: str
    filter: str


def parse(text: str | None) -> object:
    """The filter in a definition's JSON text (null: none). Raises UnreadableFilter."""
    if text is None or not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFilter("$", f"not JSON: {error}") from error


def leaves(tree: object) -> Iterator[Leaf]:
    """Every leaf of a filter, in the order they are written.

    A dictionary that is neither and, or, not nor a leaf is opaque, and so is whatever it
    holds. Raises UnreadableFilter for a node that is no dictionary, for more than MAX_DEPTH
    levels or MAX_NODES nodes.
    """
    pending: list[tuple[str, object, bool, int]] = [("$", tree, False, 1)] if tree else []
    nodes = 0
    while pending:
        path, node, negative, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise UnreadableFilter(path, f"deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise UnreadableFilter(path, f"more than {MAX_NODES} nodes")
        if not isinstance(node, dict):
            raise UnreadableFilter(path, "a filter is an object")
        if isinstance(node.get("filter"), str):
            flipped = negative ^ (node.get("has") is False)
            yield Leaf(path, node["filter"], node, flipped)
        elif "not" in node:
            pending.append((f"{path}.not", node["not"], not negative, depth + 1))
        else:
            for word in ("or", "and"):
                if word in node:
                    children = _listed(node[word], f"{path}.{word}")
                    pending.extend(
                        (f"{path}.{word}[{at}]", child, negative, depth + 1)
                        for at, child in reversed(list(enumerate(children)))
                    )


def _listed(value: object, path: str) -> list[object]:
    if not isinstance(value, list):
        raise UnreadableFilter(path, "a list of filters is expected")
    return value


def qualify(kind: str, name: str) -> str:
    """The full key of what an argument names: it takes the bare id or the full key."""
    return name if name.startswith(f"{kind}:") else f"{kind}:{name}"


def use_of(leaf: Leaf) -> Use | None:
    """The source or segment that a leaf uses; None for tags, opaque leaves and all others."""
    argument = "segment" if leaf.name == "in_segment" else SOURCE_FILTERS.get(leaf.name)
    if argument is None:
        return None
    name = leaf.node.get(argument)
    return Use(qualify(argument, name), leaf.name) if isinstance(name, str) and name else None


def uses(definition: Definition) -> tuple[Use, ...]:
    """Every direct use of a definition, each once, sorted. Raises UnreadableFilter."""
    found = {use for leaf in leaves(parse(definition.filters)) if (use := use_of(leaf))}
    found.update(Use(key, "references") for key in definition.references)
    return tuple(sorted(found))


def exemptions(
    catalog: Mapping[str, Definition],
    used: Mapping[str, Collection[Use]],
    *,
    segments_are_roots: bool,
) -> dict[str, tuple[Exemption, ...]]:
    """Source -> why it stays hot, nearest first, at most EXEMPTIONS_SHOWN.

    `used` says for each catalog key what it uses directly. A root does not keep itself hot.
    """
    roots = {
        key
        for key, definition in catalog.items()
        if definition.status is Status.ACTIVE and (segments_are_roots or kind_of(key) != "segment")
    }
    users = _Users.of(used, roots)
    found = {source: _nearest(source, users) for source in users.sources}
    return {source: nearest for source, nearest in found.items() if nearest}


@dataclass(frozen=True, slots=True)
class _Users:
    """Who uses a source or segment directly, as (user, filter), sorted: roots and segments."""

    sources: frozenset[str]
    roots: Mapping[str, list[tuple[str, str]]]
    segments: Mapping[str, list[tuple[str, str]]]

    @classmethod
    def of(cls, used: Mapping[str, Collection[Use]], roots: Collection[str]) -> "_Users":
        by_roots: dict[str, list[tuple[str, str]]] = {}
        by_segments: dict[str, list[tuple[str, str]]] = {}
        for user in sorted(used):
            # one filter will do where several use the same source
            for target, name in {use.target: use.filter for use in reversed([*used[user]])}.items():
                if user in roots:
                    by_roots.setdefault(target, []).append((user, name))
                if kind_of(user) == "segment":
                    by_segments.setdefault(target, []).append((user, name))
        targets = filter(is_source, by_roots.keys() | by_segments.keys())
        return cls(frozenset(targets), by_roots, by_segments)


def _nearest(source: str, users: _Users) -> tuple[Exemption, ...]:
    """Backwards from the source, segment by segment, until enough roots are found.

    Backwards, because a source has few users and a catalog many roots. Of the sorted roots of
    one segment the first ones suffice: fewer than EXEMPTIONS_SHOWN are known already, and one
    is perhaps the source itself.
    """
    found: dict[str, Exemption] = {}
    level: list[tuple[str, tuple[str, ...], str]] = [(source, (), "")]
    seen: set[str] = set()
    while level and len(found) < EXEMPTIONS_SHOWN:
        here: list[Exemption] = []
        following: list[tuple[str, tuple[str, ...], str]] = []
        for key, through, name in level:
            here += [
                Exemption(root, through, name or used_by)
                for root, used_by in users.roots.get(key, ())[: 2 * EXEMPTIONS_SHOWN]
                if root != source and root not in found
            ]
            for segment, used_by in users.segments.get(key, ()):
                if segment not in seen:
                    seen.add(segment)
                    chain = (segment, *through)[:CHAIN_SHOWN]
                    following.append((segment, chain, name or used_by))
        for item in sorted(here):
            found.setdefault(item.root, item)
        level = sorted(following)
    return tuple(found.values())[:EXEMPTIONS_SHOWN]
