"""Finds which definitions use a source: exemptions from expiry follow from this.

A filter is walked leaf by leaf (`leaves`). A leaf names a source (the 14 filters about one source),
a segment (`in_segment`), a tag, or nothing relevant. A root is an active campaign, Canvas or
Content Card (or segment, a setting); it keeps the sources hot that it uses, also through segments.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.filters.spelling import FILTERS, SOURCE_FILTERS, TAG_FILTERS, alike, meant
from schemas.records import strict_json
from schemas.records.lifecycle import Definition, Exemption, Status, is_source, kind_of

__all__ = [
    "EXEMPTIONS_SHOWN",
    "KEY_KINDS",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_STRANGE",
    "SOURCE_FILTERS",
    "TAG_FILTERS",
    "FilterLeaf",
    "UnreadableFilter",
    "Use",
    "exemptions",
    "leaves",
    "listed",
    "parse",
    "qualify",
    "use_of",
    "uses",
]

MAX_DEPTH = 32
MAX_NODES = 1_000
MAX_STRANGE = 100
"""Names in one filter that are none of ours: each is compared with all of ours."""
KEY_KINDS = ("campaign", "canvas", "segment", "content_card")
_STRUCTURE = ("and", "or", "not")
_WORDS = (*_STRUCTURE, "filter")
EXEMPTIONS_SHOWN = 10
"""A popular source may have thousands of users: its record names the nearest."""

CHAIN_SHOWN = 16
"""Segments of a chain that its record names, those nearest to the root."""
CHAIN_CHARACTERS = 1_000


class UnreadableFilter(ValueError):
    """A filter that cannot be walked: no JSON, not of a filter's shape, too deep, or too large.

    `path` is the JSON path of the fault.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FilterLeaf:
    """One leaf: its path, its name, its arguments, and its polarity.

    `negative` counts every `not` and every `has: false` on the path, including the leaf's own.
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
        return strict_json.loads(text)
    except ValueError as error:
        raise UnreadableFilter("$", f"not JSON: {error!s:.200}") from error


def leaves(tree: object) -> Iterator[FilterLeaf]:
    """Every leaf of a filter, in written order.

    A leaf with an unknown name is opaque, and so is a dictionary that is neither and, or, not nor a
    leaf; everything inside it is opaque too. Raises UnreadableFilter for a misspelt name of one of
    our filters, for one of our filters that names no source or stands inside an opaque part, for a
    node that is no dictionary, and for more than MAX_DEPTH levels or MAX_NODES nodes.
    """
    pending: list[tuple[str, object, bool, int]] = [("$", tree, False, 1)]
    if tree is None or tree == {}:
        return
    strange = _Strange()
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
        words = [word for word in _STRUCTURE if word in node]
        if "filter" in node:
            yield _leaf(path, node, negative, words, strange)
            continue
        for word in node:
            if word not in words and word.strip().casefold() in _WORDS:
                raise UnreadableFilter(path, f"{word!r} is no part of a filter: use lower case")
        strange.check(path, {key: part for key, part in node.items() if key not in words})
        if "not" in words:
            pending.append((f"{path}.not", node["not"], not negative, depth + 1))
        for word in ("or", "and"):
            if word in words:
                children = _listed(node[word], f"{path}.{word}")
                pending.extend(
                    (f"{path}.{word}[{at}]", child, negative, depth + 1)
                    for at, child in reversed(list(enumerate(children)))
                )


def _leaf(
    path: str, node: dict[str, Any], negative: bool, words: list[str], strange: "_Strange"
) -> FilterLeaf:
    name = node["filter"]
    if not isinstance(name, str):
        raise UnreadableFilter(f"{path}.filter", "the name of a filter is a text")
    if words:
        raise UnreadableFilter(path, f"a filter and {words[0]!r} in one object")
    if name not in FILTERS and (near := strange.meant(path, name)) is not None:
        raise UnreadableFilter(f"{path}.filter", f"{name[:80]!r} is no filter: {near}?")
    # what our leaves take are plain values: within others anything may stand
    strange.check(path, {key: part for key, part in node.items() if isinstance(part, dict | list)})
    leaf = FilterLeaf(path, name, node, negative ^ (node.get("has") is False))
    argument = _argument(name)
    if argument is not None and use_of(leaf) is None:
        shown = repr(node.get(argument))
        detail = f"{shown[:80]} names no {argument}" if argument in node else f"without {argument}"
        raise UnreadableFilter(f"{path}.{argument}", f"{name} {detail}")
    return leaf


class _Strange:
    """Searches opaque parts for filters that may be meant as ours. One object for each filter."""

    def __init__(self) -> None:
        self._compared: set[str] = set()

    def meant(self, path: str, name: str) -> str | None:
        """The filter that an unknown name probably means."""
        self._compared.add(name)
        if len(self._compared) > MAX_STRANGE:
            # each is compared with all of ours: so many cost too much
            raise UnreadableFilter(path, f"more than {MAX_STRANGE} unknown names")
        return meant(name)

    def check(self, path: str, node: object) -> None:
        """Raises UnreadableFilter if `node` contains one of our filters, or a misspelt one."""
        waiting = [node]
        while waiting:
            part = waiting.pop()
            if isinstance(part, dict):
                waiting += part.keys()
                waiting += part.values()
            elif isinstance(part, list):
                waiting += part
            elif isinstance(part, str) and alike(part):
                near = self.meant(path, part)
                if near is not None and _argument(near) is not None:
                    raise UnreadableFilter(path, f"{part[:80]!r} inside an unknown filter")


def _listed(value: object, path: str) -> list[object]:
    if not isinstance(value, list):
        raise UnreadableFilter(path, "a list of filters is expected")
    return value


def qualify(kind: str, name: str) -> str:
    """The full key for an argument, which may have the bare id or the full key."""
    return name if name.startswith(f"{kind}:") else f"{kind}:{name}"


def _argument(name: str) -> str | None:
    """The argument that names what a filter uses; None for filters that use nothing."""
    return "segment" if name == "in_segment" else SOURCE_FILTERS.get(name)


def use_of(leaf: FilterLeaf) -> Use | None:
    """The source or segment that a leaf uses; None for tags, opaque leaves and all others."""
    argument = _argument(leaf.name)
    if argument is None:
        return None
    name = leaf.node.get(argument)
    if not isinstance(name, str) or not name:
        return None
    kind, colon, rest = name.partition(":")
    if colon and kind in KEY_KINDS and (kind != argument or not rest):
        return None
    return Use(qualify(argument, name), leaf.name)


def uses(definition: Definition) -> tuple[Use, ...]:
    """Every direct use of a definition, each once, sorted. Raises UnreadableFilter."""
    found = {use for leaf in leaves(parse(definition.filters)) if (use := use_of(leaf))}
    for at, key in enumerate(definition.references):
        kind, _, name = key.partition(":")
        if kind not in KEY_KINDS or not name:
            raise UnreadableFilter(
                f"references[{at}]", f"{key[:80]!r} is no campaign:ID, canvas:ID"
            )
    return tuple(sorted(found | set(listed(definition))))


def listed(definition: Definition) -> tuple[Use, ...]:
    """The uses that a definition lists in `references`, each once, sorted."""
    return tuple(sorted({Use(key, "references") for key in definition.references}))


def exemptions(
    catalog: Mapping[str, Definition],
    used: Mapping[str, Collection[Use]],
    *,
    segments_are_roots: bool,
    active: Collection[str] = (),
) -> dict[str, tuple[Exemption, ...]]:
    """Source -> the reasons why it stays hot, nearest first, at most EXEMPTIONS_SHOWN.

    `used` gives the direct uses of each catalog key; keys in `active` count as active whatever
    their definition says. A root does not keep itself hot.
    """
    found_active = {key for key, one in catalog.items() if one.status is Status.ACTIVE}
    roots = {
        key for key in found_active.union(active) if segments_are_roots or kind_of(key) != "segment"
    }
    users = _Users.of(used, roots)
    found = {source: _nearest(source, users) for source in users.sources}
    return {source: nearest for source, nearest in found.items() if nearest}


@dataclass(frozen=True, slots=True)
class _Users:
    """The direct users of a source or segment, as (user, filter), sorted: roots and segments."""

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
    """Searches backwards from the source, segment by segment, until enough roots are found.

    Backwards is cheaper, because a source has few users and a catalog many roots. Of the sorted
    roots of one segment the first ones suffice: fewer than EXEMPTIONS_SHOWN are known already, and
    one may be the source itself.
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
                    chain = _shown((segment, *through))
                    following.append((segment, chain, name or used_by))
        for item in sorted(here):
            found.setdefault(item.root, item)
        level = sorted(following)
    return tuple(found.values())[:EXEMPTIONS_SHOWN]


def _shown(chain: tuple[str, ...]) -> tuple[str, ...]:
    """The part of a chain that fits into a record; it contains at least the segment nearest to the
    root.
    """
    room, count = CHAIN_CHARACTERS, 0
    for segment in chain[:CHAIN_SHOWN]:
        room -= len(segment)
        if room < 0 and count:
            break
        count += 1
    return chain[:count]
