"""Definitions that rest on data which takes part in no answer. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.rules.references import UnreadableFilter, leaves, parse, use_of
from schemas.lifecycle import Definition, SourceState, kind_of

__all__ = ["Finding", "lint"]

LEGACY_DELETED = "legacy-deleted"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One use that cannot be answered: the definition, the JSON path in it, the source.

    `what` is the source's state, `legacy-deleted`, or `unreadable` (then `source` says what is
    wrong with the filter); `through` the segments between.
    """

    key: str
    path: str
    source: str
    what: str
    through: tuple[str, ...] = ()

    def __str__(self) -> str:
        via = f" through {', '.join(self.through)}" if self.through else ""
        return f"{self.key} {self.path} {self.source} ({self.what}){via}"


def lint(
    definition: Definition,
    catalog: Mapping[str, Definition],
    states: Mapping[str, SourceState],
) -> Iterator[Finding]:
    """What a definition rests on in vain, also through segments of the catalog."""
    try:
        targets = list(_targets(definition))
    except UnreadableFilter as error:
        yield Finding(definition.key, f"$.filters{error.path[1:]}", error.detail, UNREADABLE)
        return
    for path, target in targets:
        for source, through in _sources(target, catalog):
            what = _hidden(source, catalog, states)
            if what is not None:
                yield Finding(definition.key, path, source, what, through)


def _targets(definition: Definition) -> Iterator[tuple[str, str]]:
    for leaf in leaves(parse(definition.filters)):
        use = use_of(leaf)
        if use is not None:
            yield f"$.filters{leaf.path[1:]}", use.target
    for at, target in enumerate(definition.references):
        yield f"$.references[{at}]", target


def _sources(
    target: str, catalog: Mapping[str, Definition]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every source below a target, with the segments on the way to it, each once."""
    waiting: list[tuple[str, tuple[str, ...]]] = [(target, ())]
    seen = {target}
    while waiting:
        key, through = waiting.pop(0)
        if kind_of(key) != "segment":
            yield key, through
            continue
        segment = catalog.get(key)
        if segment is None:
            continue
        try:
            below = [found for _, found in _targets(segment)]
        except UnreadableFilter:
            continue  # it is that segment's own finding
        for found in below:
            if found not in seen:
                seen.add(found)
                waiting.append((found, (*through, key)))


def _hidden(
    source: str, catalog: Mapping[str, Definition], states: Mapping[str, SourceState]
) -> str | None:
    record, definition = states.get(source), catalog.get(source)
    if (record is not None and record.legacy_deleted) or (
        definition is not None and definition.legacy_deleted
    ):
        return LEGACY_DELETED
    return record.state.value if record is not None and record.hidden else None
