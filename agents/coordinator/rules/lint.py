"""Checks definitions for parts that `POST /audience` would refuse. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.coordinator.rules.bounds import unfit
from agents.filters.errors import FilterError
from agents.filters.parsing import parse_text
from agents.filters.plan_facts import PlanFacts
from agents.filters.planning import plan
from agents.filters.references import UnreadableFilter, leaves, parse, use_of, uses
from agents.filters.refusals import Code, FilterRefusal, Refused
from agents.filters.vocabulary import VOCABULARY
from schemas.records.lifecycle import Definition, kind_of
from schemas.words.nearest import nearest

__all__ = ["LintFinding", "lint"]

LEGACY_DELETED = "legacy-deleted"
UNREADABLE = "unreadable"
_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One use that cannot be answered: the definition, the JSON path in it, the source.

    `what` is the source's state or `legacy-deleted`. If no source is the cause, `what` is
    `unreadable` or the code of a refusal (`unknown_segment`), and `source` describes the fault in
    words. `through` has the segments between definition and source.
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
    definition: Definition, catalog: Mapping[str, Definition], state: PlanFacts, now_ms: int
) -> Iterator[LintFinding]:
    """The unanswerable uses of a definition, each once, also through segments of the catalog.

    The filter is planned against `state`; its periods end at `now_ms` (UTC milliseconds).
    """
    reported: set[tuple[str, str, str]] = set()
    # nothing that was said of a part is said again of it in other words
    for found in (_planned, _read, _used):
        for finding in found(definition, catalog, state, now_ms):
            same = (finding.path, finding.source, finding.what)
            again = found is _read and any(finding.path.startswith(path) for path, _, _ in reported)
            if same not in reported and not again:
                reported.add(same)
                yield finding


def _planned(
    definition: Definition, _: Mapping[str, Definition], state: PlanFacts, now_ms: int
) -> Iterator[LintFinding]:
    """The refusals of a worker that is asked this filter."""
    try:
        # Opaque, so that an unknown filter does not hide other faults.
        node = parse_text(definition.filters, opaque=True)
        found = None if node is None else plan(node, state, now_ms=now_ms)
    except FilterError as error:
        yield LintFinding(definition.key, f"$.filters{error.path[1:]}", error.detail, UNREADABLE)
        return
    if isinstance(found, Refused):
        for refusal in found.refusals:
            if refusal.code is not Code.UNKNOWN_FILTER or _misspelt(refusal.filter):
                yield from _refused(definition.key, refusal)


def _read(
    definition: Definition, _: Mapping[str, Definition], state: PlanFacts, now_ms: int
) -> Iterator[LintFinding]:
    """The reasons why the coordinator cannot read it."""
    try:
        uses(definition)
    except UnreadableFilter as error:
        path = error.path if error.path.startswith("references") else f"filters{error.path[1:]}"
        yield LintFinding(definition.key, f"$.{path}", error.detail, UNREADABLE)
    fault = unfit(definition, now_ms)
    if fault is not None:
        yield LintFinding(definition.key, "$", fault[1], UNREADABLE)


def _misspelt(name: str) -> bool:
    """Whether an unknown filter is a misspelt one of ours: a platform has other filters too."""
    return nearest(name, VOCABULARY, cutoff=_ALIKE) is not None


def _refused(key: str, refusal: FilterRefusal) -> Iterator[LintFinding]:
    at = refusal.at
    path = f"$.filters{at.path[1:]}"
    if not refusal.sources:
        yield LintFinding(key, path, refusal.detail, refusal.code.value, at.through)
    for source, state in refusal.sources:
        what = LEGACY_DELETED if refusal.code is Code.LEGACY_DELETED else state.value
        yield LintFinding(key, path, source, what, at.through)


def _used(
    definition: Definition, catalog: Mapping[str, Definition], state: PlanFacts, _: int
) -> Iterator[LintFinding]:
    """The sources that it and its segments name, also in `references` and beside unplannable
    parts.
    """
    for path, target in _targets(definition):
        for source, through in _sources(target, catalog):
            what = _hidden(source, state)
            if what is not None:
                yield LintFinding(definition.key, path, source, what, through)


def _targets(definition: Definition) -> list[tuple[str, str]]:
    found = [(f"$.references[{at}]", target) for at, target in enumerate(definition.references)]
    try:
        for leaf in leaves(parse(definition.filters)):
            use = use_of(leaf)
            if use is not None:
                found.append((f"$.filters{leaf.path[1:]}", use.target))
    except UnreadableFilter:
        pass  # planning it has told so, or it is that segment's own finding
    return found


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
        for _, found in () if segment is None else _targets(segment):
            if found not in seen:
                seen.add(found)
                waiting.append((found, (*through, key)))


def _hidden(source: str, state: PlanFacts) -> str | None:
    view = state.source(source)
    if view is None or not (view.hidden or view.legacy_deleted):
        return None
    return LEGACY_DELETED if view.legacy_deleted else view.state.value
