"""Quarantines catalog records that cannot be read: the sources that they may name stay hot.

No source expires because of an unreadable record. Of such a record only words are known, and each
word may be an id. The words are compared with the known keys whenever the uses are computed,
because a campaign may become known after the Canvas that uses it. Pure.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.filters.references import KEY_KINDS, UnreadableFilter, Use, exemptions, listed, uses
from schemas.records.lifecycle import Definition, Exemption

__all__ = [
    "UNREADABLE",
    "Quarantined",
    "exempt",
    "quarantine_of",
    "readable_uses",
    "used_with",
    "words_of_bytes",
    "words_of_definition",
]

UNREADABLE = "unreadable definition"
"""Stands in place of a filter's name where that cannot be known."""

WORDS_BYTES = 300_000
"""Most bytes of words as JSON: with what the former definition used, which may be twice as
much, they are one record of the coordinator's log."""
_NAMED = ("campaign", "canvas", "segment")
_SPLIT = re.compile(r"[\s\"'\\\[\]{}(),;=<>\x00-\x1f\x7f-\x9f]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.){1,600})"')
_HEX = re.compile(r"(?=([0-9a-fA-F]{24}))")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Why the latest record under a key cannot be read, and the keys that it may use.

    `words` may be ids; `kept` are the keys that the previous record used. `active` also holds if
    the status is unknown.
    """

    detail: str
    words: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    active: bool = False

    def uses(self, known: Iterable[Collection[str]]) -> tuple[Use, ...]:
        """The uses of keys in `known`, which keep those sources hot."""
        spaces = tuple(known)
        found = {Use(key, UNREADABLE) for key in self.kept}
        for word in self.words:
            for key in (word, *(f"{kind}:{word}" for kind in _NAMED)):
                if any(key in space for space in spaces):
                    found.add(Use(key, UNREADABLE))
        return tuple(sorted(found))


def quarantine_of(
    definition: Definition, former: Definition | None, old: Quarantined | None
) -> Quarantined | None:
    """The quarantine of a definition whose filter or references cannot be read, or None.

    `former` is the previous definition, `old` the quarantine of that one.
    """
    try:
        uses(definition)
    except UnreadableFilter as error:
        kept = old.kept if old is not None else ()
        if former is not None and old is None:
            kept = tuple(sorted({use.target for use in readable_uses(former)}))
        words = words_of_definition(definition)
        return Quarantined(str(error)[:1000], joined(words, old), kept)
    return None


def readable_uses(definition: Definition) -> tuple[Use, ...]:
    """The uses of a definition; if its filter cannot be read, only those in its `references`."""
    try:
        return uses(definition)
    except UnreadableFilter:
        return listed(definition)


def joined(words: Collection[str], old: Quarantined | None) -> tuple[str, ...]:
    """Words of a record and of the unreadable records before it; the new ones come first in the
    limited space.
    """
    return tuple(sorted(_bounded((*words, *(old.words if old is not None else ())))))


def used_with(
    used: Mapping[str, Collection[Use]],
    quarantined: Mapping[str, Quarantined],
    known: Iterable[Collection[str]],
) -> Mapping[str, Collection[Use]]:
    """The users of each key, with the uses of the quarantined records."""
    if not quarantined:
        return used
    spaces = tuple(known)
    more = {key: (*used.get(key, ()), *record.uses(spaces)) for key, record in quarantined.items()}
    return {**used, **{key: tuple(sorted(set(found))) for key, found in more.items()}}


def exempt(
    catalog: Mapping[str, Definition],
    used: Mapping[str, Collection[Use]],
    quarantined: Mapping[str, Quarantined],
    sources: Collection[str],
    *,
    segments_are_roots: bool,
) -> dict[str, tuple[Exemption, ...]]:
    """Source -> why it stays hot, as `references.exemptions`, with the quarantined records."""
    return exemptions(
        catalog,
        used_with(used, quarantined, (sources, catalog, quarantined)),
        segments_are_roots=segments_are_roots,
        active=[key for key, record in quarantined.items() if record.active],
    )


def words_of_definition(definition: Definition) -> tuple[str, ...]:
    """Every word in a definition's filter and references that may be a name."""
    return tuple(_bounded(_words(definition)))


def words_of_bytes(value: bytes) -> tuple[str, ...]:
    """Every word that may be a name, in a record that is no definition: JSON, Avro, or neither."""
    text = value.decode(errors="replace")
    try:
        return tuple(_bounded(_inside(json.loads(text, object_pairs_hook=list))))
    except (ValueError, RecursionError):
        return tuple(_bounded(_loose(text)))


def _words(definition: Definition) -> Iterator[str]:
    yield from definition.references
    text = definition.filters
    if text is None:
        return
    try:
        # pairs: of a name that stands twice the last would win
        yield from _inside(json.loads(text, object_pairs_hook=list))
    except (ValueError, RecursionError):
        yield from _loose(text)


def _inside(tree: Any) -> Iterator[str]:
    """Every string and number in JSON whose objects are lists of pairs; names of fields
    included.
    """
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, str):
            yield part
            if len(part) > 24 or _SPLIT.search(part):
                yield from _loose(part)
        elif isinstance(part, int | float) and not isinstance(part, bool):
            yield from _number(part)


def _number(value: float) -> Iterator[str]:
    if isinstance(value, int) and abs(value) >= 10**100:
        return
    yield str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        yield str(int(value))


def _loose(text: str) -> Iterator[str]:
    """The words of a text that is no JSON; a byte of a length may stand before a word."""
    for word in _SPLIT.split(text):
        for part in (word, word.strip(":"), *(word.split(":") if ":" in word else ())):
            yield part
            yield part[1:]
    for found in _QUOTED.finditer(text):
        yield found[1]
    for found in _HEX.finditer(text):
        yield found[1]


def _bounded(words: Iterable[str]) -> Iterator[str]:
    """Each word once, as many as the limit allows; words longer than any key are left out."""
    room = WORDS_BYTES
    seen: set[str] = set()
    for word in words:
        if not word or len(word) > 600 or word in seen or word in KEY_KINDS:
            continue
        room -= len(json.dumps(word)) + 1
        if room < 0:
            return
        seen.add(word)
        yield word
