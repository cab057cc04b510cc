"""What a text that a person types names: one source, several, or none.

The first of these that fits decides: a key (`campaign:ID`), an id, a name, the beginning of an id
or of a name. Names and beginnings are compared without case, in Unicode's form NFC, without
characters that nobody sees. A kind may stand before a name or a beginning, as in a key:
`canvas:Spring`; but in a command that changes something, such a text is a key and nothing else:
programs write keys, and none of theirs may become another.

A text that fits more than one source at the same step names none of them. Neither does one that
fits only without its unseen characters, or without those of the name.
"""

from collections.abc import Sequence

from agents.names.form import MOST, form, hidden
from agents.names.index import NameIndex
from schemas.errors import Fatal
from schemas.records.lifecycle import SOURCE_KINDS, SourceState, is_source
from schemas.words.shown import shown

__all__ = [
    "LEAST_BEGINNING",
    "MOST_CANDIDATES",
    "AmbiguousSource",
    "UnknownName",
    "check_request",
    "described",
    "resolve",
    "seen",
    "unknown",
]

LEAST_BEGINNING = 4
"""Characters of a beginning that names a source for a command that changes something."""
MOST_CANDIDATES = 20
_MOST_NEAREST = 3
_MOST_SHOWN = 80


class AmbiguousSource(Fatal):
    """A text that may mean several sources, or one that is not to be guessed. `candidates` has the
    first of them, by key; `more` says whether there are others. `begun`: it is their beginning."""

    def __init__(
        self,
        text: str,
        because: str,
        candidates: Sequence[SourceState],
        *,
        more: bool = False,
        begun: bool = False,
    ) -> None:
        listed = "; ".join(described(one) for one in candidates)
        super().__init__(
            f"{_quoted(text)} {because}: {listed}{'; and others' if more else ''}",
            remedy=f"Write {'more of it, or ' if begun else ''}the key of the one that is meant",
        )
        self.text = text
        self.candidates = tuple(candidates)
        self.more = more


class UnknownName(Fatal):
    """A text that names no source. `nearest` has the most similar ones."""

    def __init__(self, text: str, nearest: Sequence[SourceState]) -> None:
        near = " or ".join(described(one, state=False) for one in nearest)
        super().__init__(
            f"No source is called {_quoted(text)}",
            remedy=f"Did you mean {near}?" if near else "`emberline status` lists the sources",
        )
        self.text = text
        self.nearest = tuple(nearest)


def resolve(text: str, names: NameIndex, *, changes: bool = False) -> SourceState:
    """The source that a text names. `changes`: for a command that changes something, which takes no
    beginning of less than four characters.

    Raises AmbiguousSource, UnknownName.
    """
    exact = names.get(text)
    if exact is not None:
        return exact
    if changes and is_source(text):
        raise unknown(text, names)
    by_id = [one for kind in SOURCE_KINDS if (one := names.get(f"{kind}:{text}")) is not None]
    if by_id:
        return _only(text, "is an id of several sources", by_id)
    ways = _ways(text)
    by_name = {
        one.source: one
        for kinds, found in ways
        for one in names.named(found, kinds, MOST_CANDIDATES + 1)
    }
    if by_name:
        called = _only(text, "is, or looks like, the name of several sources", [*by_name.values()])
        return seen(text, called, called.name)
    begun = {
        one.source: (one, what, len(found))
        for kinds, found in ways
        for one, what in names.begun(found, kinds, MOST_CANDIDATES + 1)
    }
    if not begun:
        raise unknown(text, names)
    several = "is the beginning of several sources"
    _only(text, several, [one for one, _, _ in begun.values()], begun=True)
    ((one, what, length),) = begun.values()
    if changes and length < LEAST_BEGINNING:
        because = f"has fewer than {LEAST_BEGINNING} characters, too few to change a source"
        raise AmbiguousSource(text, because, [one], begun=True)
    return seen(text, one, what)


def check_request(text: str, names: NameIndex) -> None:
    """For a text that is the id of a request, where sources may stand too: whoever sends a request
    chooses its id, so it must not be one that hides a source. Raises AmbiguousSource.
    """
    known = [names.get(text), *(names.get(f"{kind}:{text}") for kind in SOURCE_KINDS)]
    found = [one for one in known if one is not None]
    found += names.named(form(text), SOURCE_KINDS, MOST_CANDIDATES) if form(text) else []
    if found:
        listed = {one.source: one for one in found}
        raise AmbiguousSource(text, "is the id of a request and names a source", [*listed.values()])


def unknown(text: str, names: NameIndex) -> UnknownName:
    """The error about a text that names no source, with the most similar sources."""
    found: dict[str, SourceState] = {}
    # what is before a colon may be a misspelt kind
    for part in (text, text.partition(":")[2]):
        near = names.nearest(form(part), _MOST_NEAREST) if form(part) else ()
        found |= {one.source: one for one in near}
    return UnknownName(text, list(found.values())[:_MOST_NEAREST])


def _ways(text: str) -> list[tuple[tuple[str, ...], str]]:
    """The forms to look for, each with the kinds that it may be of: the whole text; and what is
    behind a kind.
    """
    kind, _, rest = text.partition(":")
    ways: list[tuple[tuple[str, ...], str]] = [(SOURCE_KINDS, form(text))]
    if kind in SOURCE_KINDS:
        ways.append(((kind,), form(rest)))
    return [(kinds, found) for kinds, found in ways if 0 < len(found) < MOST]


def described(record: SourceState, *, state: bool = True) -> str:
    """A source for people: key, name and state."""
    more = [f'"{shown(record.name[:_MOST_SHOWN])}"'] * bool(record.name)
    more += [record.state.value] * state
    listed = ", ".join(more)
    return shown(record.source) + (f" ({listed})" if more else "")


def _only(
    text: str, because: str, found: Sequence[SourceState], *, begun: bool = False
) -> SourceState:
    if len(found) > 1:
        listed = sorted(found, key=lambda one: one.source)
        more = len(listed) > MOST_CANDIDATES
        raise AmbiguousSource(text, because, listed[:MOST_CANDIDATES], more=more, begun=begun)
    return found[0]


def seen(text: str, found: SourceState, what: str) -> SourceState:
    """The source, unless characters that nobody sees are in the text or in what it fits."""
    if hidden(text) or hidden(what):
        raise AmbiguousSource(text, "may not be what it looks like, for unseen characters", [found])
    return found


def _quoted(text: str) -> str:
    cut = text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
    return f"'{shown(cut)}'"
