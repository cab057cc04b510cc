"""Catalog records: definitions, deletions, and records that cannot be read."""

from dataclasses import replace

from agents.coordinator.rules.bounds import is_catalog_key
from agents.coordinator.rules.decision import Draft
from agents.coordinator.rules.inputs import CatalogSnapshot, DefinitionRead, DefinitionUnreadable
from agents.coordinator.rules.quarantine import Aside, aside_of, joined, readable_uses
from agents.coordinator.rules.state import Origin, Source, Why
from agents.coordinator.rules.transitions import restore_later, start_restoring
from schemas.records.lifecycle import Definition, State, Status, is_source

__all__ = ["deleted_while_away", "read", "unreadable"]

STRANGE_AUDITED = 20
"""Records under no key of a definition that are audited in one batch of inputs."""


def read(draft: Draft, record: DefinitionRead) -> None:
    """A definition or a deletion. One older than the one we have is ignored."""
    if record.definition is None:
        _deleted(draft, record.key)
        return
    definition = record.definition
    former = draft.catalog.get(record.key)
    if former is not None and _older(definition, former):
        if not record.again:
            detail = f"{record.key}: {definition.updated_at} is before {former.updated_at}"
            draft.audit(_about(draft, record.key), "older_definition_ignored", detail=detail)
        return
    _put_aside(draft, record.key, aside_of(definition, former, draft.asides.get(record.key)))
    if definition == former:
        return
    used = readable_uses(definition)
    if former is None or (former.status, draft.used[definition.key]) != (definition.status, used):
        draft.exempt_stale = True
    draft.define(definition)
    draft.used[definition.key] = used
    if is_source(definition.key):
        _defined(draft, definition)


def unreadable(draft: Draft, record: DefinitionUnreadable) -> None:
    """A record that cannot be used: the definition, and its references, stay as they were.

    It is kept aside: what it can be seen to name stays hot.
    """
    if not is_catalog_key(record.key):
        # it is in `rejected` too; the audit is kept for ever
        if draft.once("strange_definition", STRANGE_AUDITED):
            draft.audit(None, "unreadable_definition", detail=f"{record.key[:80]}: {record.detail}")
        return
    old = draft.asides.get(record.key)
    aside = Aside(
        record.detail,
        joined(record.words, old),
        old.kept if old is not None else (),
        active=record.active is not False,
    )
    if draft.put_aside(record.key, aside):
        draft.audit(
            _about(draft, record.key),
            "unreadable_definition",
            reason="the definition and the references it had are kept, and so is hot what it names",
            detail=f"{record.key}: {record.detail}",
        )


def deleted_while_away(draft: Draft, snapshot: CatalogSnapshot) -> None:
    """Whatever we know and the whole catalog does not hold was deleted while nobody looked.

    Every source is settled anew, as the policy may have changed as well.
    """
    for key in sorted((draft.catalog.keys() | draft.asides.keys()) - snapshot.keys):
        _deleted(draft, key)
    for key, definition in draft.catalog.items():
        # taken in by a version that understood less of filters, or took them for foreign ones
        if key not in draft.asides:
            _put_aside(draft, key, aside_of(definition, None, None))
    draft.exempt_stale = True
    draft.unsettled.update(dict.fromkeys(draft.sources))


def _older(definition: Definition, former: Definition) -> bool:
    if definition.updated_at is None or former.updated_at is None:
        return False
    return definition.updated_at < former.updated_at


def _put_aside(draft: Draft, key: str, aside: Aside | None) -> None:
    """Keep aside what cannot be read of a definition that is taken in."""
    if draft.put_aside(key, aside) and aside is not None:
        draft.audit(
            _about(draft, key),
            "unreadable_filter",
            reason="the references it had are kept, and so is hot what it names",
            detail=f"{key}: {aside.detail}",
        )


def _about(draft: Draft, key: str) -> Source | str:
    """What an audit entry on a catalog key is about."""
    return draft.sources.get(key) or key


def _defined(draft: Draft, definition: Definition) -> None:
    former = draft.sources.get(definition.key)
    source = former or Source(definition.key)
    source = replace(
        source,
        name=definition.name,
        tags=definition.tags,
        status=definition.status.value,
        deleted=False,
        legacy_deleted=definition.legacy_deleted,
        stopped_at=_stopped_at(definition, source, draft.now),
    )
    draft.unsettled[source.source] = None
    if former is None:
        # Nothing shows yet: settling makes the first version.
        draft.sources[source.source] = replace(source, changed_at=draft.now)
        return
    source = draft.put(source)
    active = definition.status is Status.ACTIVE
    if active and former.status != Status.ACTIVE:
        _resumed(draft, source)
    elif not active:
        _stopped_again(draft, source)


def _stopped_at(definition: Definition, source: Source, now: int) -> int | None:
    """When it stopped: as told, or when we first read that it had (null or future)."""
    if not definition.status.stopped:
        return None
    told = definition.stopped_at
    if told is not None and told <= now:
        return told
    return source.stopped_at if source.stopped_at is not None else now


def _resumed(draft: Draft, source: Source) -> None:
    if source.state not in (State.EXPIRED, State.EXPIRING):
        return
    allowed = draft.policy.restore_on_resume and not source.legacy_deleted
    why_not = "legacy-deleted" if source.legacy_deleted else "restore_on_resume is off"
    draft.audit(
        source,
        "resumed_while_hidden",
        reason="warning: active again while its data is hidden",
        detail="it is restored at once" if allowed else f"not restored: {why_not}",
    )
    if not allowed:
        return
    origin = Origin(Why.RESUMED, draft.now)
    if source.state is State.EXPIRED:
        start_restoring(draft, source, origin)
    elif source.work is not None and source.work.then_restore is None:
        restore_later(draft, source, origin)


def _stopped_again(draft: Draft, source: Source) -> None:
    """What was to be restored only because it was active again stays where it is."""
    later = source.work.then_restore if source.work else None
    if source.work is not None and later is not None and later.why is Why.RESUMED:
        draft.put(replace(source, work=replace(source.work, then_restore=None)))


def _deleted(draft: Draft, key: str) -> None:
    """A deleted definition counts as stopped at that moment and keeps its last tags."""
    draft.put_aside(key, None)
    if key in draft.catalog:
        draft.undefine(key)
        draft.exempt_stale = True
    source = draft.sources.get(key)
    if source is None or source.status is None:
        return
    stopped_at = source.stopped_at if source.stopped_at is not None else draft.now
    source = replace(source, status=None, deleted=True, stopped_at=stopped_at)
    draft.audit(source, "deleted", reason="the definition was deleted: it counts as stopped")
    source = draft.put(source)
    _stopped_again(draft, source)
    draft.unsettled[key] = None
