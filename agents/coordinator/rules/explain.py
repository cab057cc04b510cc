"""Explains why a source is hot or not: what uses it, what would change its state, and when. Pure.

Every "if" is answered by the rules themselves: they decide the change in a temporary state that
contains only the records that concern the source.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from agents.coordinator.rules.as_if import AsIf, without
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.inputs import CommandRead, DefinitionRead, Input
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.quarantine import (
    Quarantined,
    exempt,
    quarantine_of,
    readable_uses,
    used_with,
)
from agents.coordinator.rules.retention import due_reason, with_own_state
from agents.coordinator.rules.state import CoordinatorState, Source
from agents.coordinator.rules.wording import Outlook, summary
from agents.filters.references import UnreadableFilter, Use, leaves, parse, use_of
from schemas.records.lifecycle import (
    HIDDEN,
    Command,
    CommandType,
    Definition,
    Exemption,
    SourceState,
    State,
    Status,
    kind_of,
)

__all__ = ["Change", "Explanation", "Link", "Reason", "explain"]

_MOST_SOUGHT = 20
"""Keys that are sought in every filter's text; with more, every filter is read instead."""


@dataclass(frozen=True, slots=True)
class Link:
    """One use in a chain: a definition uses the next one, at a JSON path within the definition."""

    definition: str
    path: str
    filter: str
    target: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A root that keeps the source hot, and every link from it to the source."""

    exemption: Exemption
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A change that could happen today, and the resulting state of the source.

    `code` is `stopped`, `all_stopped`, `defined` (as stopped), `released` (from a hold), `restored`
    or `as_if`; `definitions` are those that change, by key.
    """

    change: str
    then: Outlook
    code: str
    definitions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`now` is the present state of the source; `as_if` the state after the hypothetical changes,
    if there were any.
    """

    record: SourceState
    summary: str
    reasons: tuple[Reason, ...]
    changes: tuple[Change, ...]
    as_if: Change | None
    unreadable: str | None = None
    """Why the source's own definition cannot be read, or None."""
    names: Mapping[str, str] = field(default_factory=dict)
    """The names of all definitions that it speaks of, by key."""

    def facts(self, now: int) -> dict[str, Any]:
        """The same for programs: the answer of `GET /sources/{source}/explain`."""
        record = self.record
        return {
            "source": record.source,
            "name": record.name,
            "state": record.state.value,
            "visible": not record.hidden and not record.legacy_deleted,
            "summary": self.summary,
            "due_at": record.due_at,
            "due_because": record.due_because,
            "due_from": _due_from(record.due_because),
            "legacy_deleted": record.legacy_deleted,
            "unreadable": self.unreadable,
            "held": record.held and asdict(record.held),
            "failure": record.failure and asdict(record.failure),
            "reasons": [
                {**_exemption(reason.exemption), "links": [asdict(link) for link in reason.links]}
                for reason in self.reasons
            ],
            "changes": [_change(change, now) for change in self.changes],
            "as_if": self.as_if and _change(self.as_if, now),
            "names": dict(self.names),
        }


def explain(
    record: SourceState,
    catalog: Mapping[str, Definition],
    policy: Policy,
    now: int,
    as_if: AsIf | None = None,
    quarantined: Mapping[str, Quarantined] | None = None,
) -> Explanation:
    """Explain one source by its record and the catalog, at the moment `now` (UTC ms).

    `catalog` holds all definitions by key. `quarantined` holds the quarantine of unreadable
    definitions; without it, it is computed from the catalog. Raises UsageError if `as_if` names a
    definition or a filter that does not exist.
    """
    asked = None if as_if is None else _asked(as_if, catalog, now)
    state = _state(
        record, catalog, _quarantined(catalog) if quarantined is None else quarantined, policy
    )
    links = {
        key: _links(key, state.catalog.get(key), state.quarantined.get(key), record.source, catalog)
        for key in state.catalog.keys() | state.quarantined.keys()
    }
    reasons = tuple(
        Reason(exemption, tuple(_chain(record.source, exemption, links)))
        for exemption in record.exempt_by
    )
    changes = tuple(_changes(record, state, policy, now))
    then = None
    if asked is not None and as_if is not None:
        outlook = _decided(state, record.source, asked, now, policy)
        removed = (key.partition("@")[0] for key in as_if.without)
        then = Change(
            str(as_if), outlook, "as_if", tuple(dict.fromkeys((*as_if.stopped, *removed)))
        )
    text = summary(record, [(change.change, change.then) for change in changes], now)
    own = state.quarantined.get(record.source)
    if own is not None:
        text += f"; its latest definition cannot be read ({own.detail:.200})"
    names = {
        key: catalog[key].name
        for key in sorted(_keys(reasons, (*changes, then) if then else changes))
        if key in catalog
    } | {record.source: record.name}
    return Explanation(record, text, reasons, changes, then, own.detail if own else None, names)


def _keys(reasons: Iterable[Reason], changes: Iterable[Change]) -> set[str]:
    """The definitions that an explanation speaks of."""
    exemptions = [reason.exemption for reason in reasons]
    exemptions += [exemption for change in changes for exemption in change.then.exempt_by]
    changed = (key for change in changes for key in change.definitions)
    links = [link for reason in reasons for link in reason.links]
    return (
        set(changed)
        | {exemption.root for exemption in exemptions}
        | {key for exemption in exemptions for key in exemption.through}
        | {key for link in links for key in (link.definition, link.target)}
    )


def _change(change: Change, now: int) -> dict[str, Any]:
    then = change.then
    return {
        "change": change.change,
        "code": change.code,
        "definitions": list(change.definitions),
        "summary": f"if {change.change} it {then.sentence(now)}",
        "state": then.state.value,
        "due_at": then.due_at,
        "due_because": then.due_because,
        "due_from": _due_from(then.due_because),
        "held": then.held and asdict(then.held),
        "exempt_by": [_exemption(exemption) for exemption in then.exempt_by],
    }


def _due_from(because: str | None) -> dict[str, Any] | None:
    reason = due_reason(because)
    return None if reason is None else asdict(reason)


def _exemption(exemption: Exemption) -> dict[str, Any]:
    return {**asdict(exemption), "through": list(exemption.through)}


def _quarantined(catalog: Mapping[str, Definition]) -> dict[str, Quarantined]:
    found = {key: quarantine_of(definition, None, None) for key, definition in catalog.items()}
    return {key: record for key, record in found.items() if record is not None}


def _state(
    record: SourceState,
    catalog: Mapping[str, Definition],
    quarantined: Mapping[str, Quarantined],
    policy: Policy,
) -> CoordinatorState:
    """A state with the source and the definitions that use it, directly or through segments."""
    direct: dict[str, tuple[Use, ...]] = {}
    near, level = {record.source}, {record.source}
    while level:
        for key in _that_may_name(level, catalog).difference(direct):
            direct[key] = readable_uses(catalog[key])
        used = used_with(direct, quarantined, ((record.source,), catalog, quarantined))
        users = {
            key for key, targets in used.items() if any(use.target in level for use in targets)
        }
        # only through segments: a campaign that is used uses nothing by that
        level = {key for key in users - near if kind_of(key) == "segment"}
        near |= users
    kept = {key: catalog[key] for key in sorted(near) if key in catalog}
    kept_uses = {key: readable_uses(definition) for key, definition in kept.items()}
    kept_quarantined = {key: quarantined[key] for key in sorted(near) if key in quarantined}
    sources = {record.source: _source(record)}
    found = exempt(
        kept, kept_uses, kept_quarantined, sources, segments_are_roots=policy.segments_are_roots
    )
    return CoordinatorState(
        catalog=kept, sources=sources, used=kept_uses, quarantined=kept_quarantined, exempt=found
    )


def _that_may_name(keys: Collection[str], catalog: Mapping[str, Definition]) -> set[str]:
    """The definitions whose text may name one of these keys: reading a filter takes much longer
    than searching in it.
    """
    ends = [f'{key.partition(":")[2]}"' for key in keys]
    if len(ends) > _MOST_SOUGHT:
        return set(catalog)
    return {
        key
        for key, one in catalog.items()
        if one.references or (one.filters is not None and _may_hold(one.filters, ends))
    }


def _may_hold(text: str, ends: Iterable[str]) -> bool:
    # JSON may spell any character with a backslash
    return "\\" in text or any(end in text for end in ends)


def _source(record: SourceState) -> Source:
    shared = Source.__dataclass_fields__.keys() & SourceState.__dataclass_fields__.keys()
    return Source(**{name: getattr(record, name) for name in shared})


def _links(
    key: str,
    definition: Definition | None,
    record: Quarantined | None,
    source: str,
    catalog: Mapping[str, Definition],
) -> list[Link]:
    found: list[Link] = []
    if definition is not None:
        found += (
            Link(key, f"$.references[{at}]", "references", target)
            for at, target in enumerate(definition.references)
        )
        try:
            for leaf in leaves(parse(definition.filters)):
                use = use_of(leaf)
                if use is not None:
                    path = f"$.filters{leaf.path.removeprefix('$')}"
                    found.append(Link(key, path, use.filter, use.target))
        except UnreadableFilter:
            pass  # what it is taken to use follows
    if record is not None:
        taken = record.uses(((source,), catalog))
        found += (Link(key, "$", use.filter, use.target) for use in taken)
    return found


def _chain(
    source: str, exemption: Exemption, links: Mapping[str, Sequence[Link]]
) -> Iterable[Link]:
    chain = (exemption.root, *exemption.through, source)
    for user, target in pairwise(chain):
        yield from (link for link in links.get(user, ()) if link.target == target)


def _asked(as_if: AsIf, catalog: Mapping[str, Definition], now: int) -> list[Input]:
    changed = without(as_if, catalog)
    for key in as_if.stopped:
        changed[key] = _stopped(changed.get(key, catalog[key]))
    return [DefinitionRead(key, definition) for key, definition in changed.items()]


def _stopped(definition: Definition) -> Definition:
    # without a time of its own it stops now, and nothing says that it is older than what is
    return replace(definition, status=Status.STOPPED, stopped_at=None, updated_at=None)


def _changes(
    record: SourceState, state: CoordinatorState, policy: Policy, now: int
) -> Iterable[Change]:
    """The changes that are possible for the source in its present state, the most likely first."""

    def then(inputs: Sequence[Input]) -> Outlook:
        return _decided(state, record.source, inputs, now, policy)

    if record.legacy_deleted:
        return
    if record.state in HIDDEN:
        back = replace(
            state.sources[record.source],
            state=State.UNKNOWN,
            restored_at=now,
            exempt_by=state.exempt.get(record.source, ()),
        )
        happens = "was back" if record.state is State.RESTORING else "was restored"
        outlook = Outlook.of(with_own_state(back, policy))
        yield Change(f"it {happens} today", outlook, "restored")
        return
    if record.state in (State.ACTIVE, State.UNKNOWN):
        known = state.catalog.get(record.source)
        own = known or Definition(record.source, Status.ACTIVE, record.name, record.tags)
        happens, code = "it stopped today", "stopped"
        if record.state is State.UNKNOWN:
            happens, code = "a definition said today that it has stopped", "defined"
        outlook = then([DefinitionRead(record.source, _stopped(own))])
        yield Change(happens, outlook, code, (record.source,))
    if record.held is not None:
        # as if the right person released it
        command = Command(
            CommandType.UNHOLD.value, (record.source,), request_id="as-if", actor="another person"
        )
        yield Change("it was released today", then([CommandRead(command, "as-if")]), "released")
    if record.state is State.EXEMPT:
        roots = [
            exemption.root for exemption in record.exempt_by if exemption.root in state.catalog
        ]
        stops = {root: DefinitionRead(root, _stopped(state.catalog[root])) for root in roots}
        for root, stop in stops.items():
            yield Change(f"{root} stopped today", then([stop]), "stopped", (root,))
        if len(stops) > 1:
            everybody: list[Input] = [
                DefinitionRead(key, _stopped(definition))
                for key, definition in state.catalog.items()
                if key != record.source and definition.status is Status.ACTIVE
            ]
            yield Change("all that use it stopped today", then(everybody), "all_stopped")


def _decided(
    state: CoordinatorState, source: str, inputs: Sequence[Input], now: int, policy: Policy
) -> Outlook:
    return Outlook.of(decide(state, inputs, now, policy).state.sources[source])
