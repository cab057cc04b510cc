"""Catalog records: definitions, deletions, and records that cannot be read."""

from dataclasses import replace

from agents.coordinator.rules.bounds import is_catalog_key
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.inputs import CatalogSnapshot, DefinitionRead, DefinitionUnreadable
from agents.coordinator.rules.quarantine import Quarantined, joined, quarantine_of, readable_uses
from agents.coordinator.rules.state import Source, Why, WorkOrigin
from agents.coordinator.rules.transitions import restore_later, start_restoring
from schemas.records.lifecycle import Definition, State, Status, is_source

__all__ = ["deleted_while_away", "read", "unreadable"]

STRANGE_AUDITED = 20
"""Records under no key of a definition that are audited in one batch of inputs."""


def read(builder: DecisionBuilder, record: DefinitionRead) -> None:
    """Process a definition or a deletion. A definition older than the known one is ignored."""
    if record.definition is None:
        _deleted(builder, record.key)
        return
    definition = record.definition
    former = builder.catalog.get(record.key)
    if former is not None and _older(definition, former):
        if not record.again:
            detail = f"{record.key}: {definition.updated_at} is before {former.updated_at}"
            builder.audit(_about(builder, record.key), "older_definition_ignored", detail=detail)
        return
    _quarantine(
        builder, record.key, quarantine_of(definition, former, builder.quarantined.get(record.key))
    )
    if definition == former:
        return
    used = readable_uses(definition)
    if former is None or (former.status, builder.used[definition.key]) != (definition.status, used):
        builder.exempt_stale = True
    builder.define(definition)
    builder.used[definition.key] = used
    if is_source(definition.key):
        _defined(builder, definition)


def unreadable(builder: DecisionBuilder, record: DefinitionUnreadable) -> None:
    """Process an unusable record: the previous definition and its references stay.

    The record is quarantined: the sources that it may name stay hot.
    """
    if not is_catalog_key(record.key):
        # it is in `rejected` too; the audit is kept for ever
        if builder.once("strange_definition", STRANGE_AUDITED):
            builder.audit(
                None, "unreadable_definition", detail=f"{record.key[:80]}: {record.detail}"
            )
        return
    old = builder.quarantined.get(record.key)
    quarantined = Quarantined(
        record.detail,
        joined(record.words, old),
        old.kept if old is not None else (),
        active=record.active is not False,
    )
    if builder.quarantine(record.key, quarantined):
        builder.audit(
            _about(builder, record.key),
            "unreadable_definition",
            reason="the definition and the references it had are kept, and so is hot what it names",
            detail=f"{record.key}: {record.detail}",
        )


def deleted_while_away(builder: DecisionBuilder, snapshot: CatalogSnapshot) -> None:
    """Treat every known definition that is missing from the whole catalog as deleted.

    Every source is reconciled again, because the policy may have changed as well.
    """
    for key in sorted((builder.catalog.keys() | builder.quarantined.keys()) - snapshot.keys):
        _deleted(builder, key)
    for key, definition in builder.catalog.items():
        # taken in by a version that understood less of filters, or took them for foreign ones
        if key not in builder.quarantined:
            _quarantine(builder, key, quarantine_of(definition, None, None))
    builder.exempt_stale = True
    builder.unreconciled.update(dict.fromkeys(builder.sources, ""))


def _older(definition: Definition, former: Definition) -> bool:
    if definition.updated_at is None or former.updated_at is None:
        return False
    return definition.updated_at < former.updated_at


def _quarantine(builder: DecisionBuilder, key: str, record: Quarantined | None) -> None:
    """Quarantine the unreadable parts of an accepted definition."""
    if builder.quarantine(key, record) and record is not None:
        builder.audit(
            _about(builder, key),
            "unreadable_filter",
            reason="the references it had are kept, and so is hot what it names",
            detail=f"{key}: {record.detail}",
        )


def _about(builder: DecisionBuilder, key: str) -> Source | str:
    """The subject of an audit entry on a catalog key."""
    return builder.sources.get(key) or key


def _defined(builder: DecisionBuilder, definition: Definition) -> None:
    former = builder.sources.get(definition.key)
    source = former or Source(definition.key)
    source = replace(
        source,
        name=definition.name,
        tags=definition.tags,
        status=definition.status.value,
        deleted=False,
        legacy_deleted=definition.legacy_deleted,
        stopped_at=_stopped_at(definition, source, builder.now),
    )
    builder.unreconciled[source.source] = builder.trace
    if former is None:
        # Nothing shows yet: settling makes the first version.
        builder.sources[source.source] = replace(source, changed_at=builder.now)
        return
    source = builder.put(source)
    active = definition.status is Status.ACTIVE
    if active and former.status != Status.ACTIVE:
        _resumed(builder, source)
    elif not active:
        _stopped_again(builder, source)


def _stopped_at(definition: Definition, source: Source, now: int) -> int | None:
    """When the definition stopped: the time in the definition, or, if that is null or in the
    future, the time of the first record that says so.
    """
    if not definition.status.stopped:
        return None
    stopped_at = definition.stopped_at
    if stopped_at is not None and stopped_at <= now:
        return stopped_at
    return source.stopped_at if source.stopped_at is not None else now


def _resumed(builder: DecisionBuilder, source: Source) -> None:
    if source.state not in (State.EXPIRED, State.EXPIRING):
        return
    allowed = builder.policy.restore_on_resume and not source.legacy_deleted
    why_not = "legacy-deleted" if source.legacy_deleted else "restore_on_resume is off"
    builder.audit(
        source,
        "resumed_while_hidden",
        reason="warning: active again while its data is hidden",
        detail="it is restored at once" if allowed else f"not restored: {why_not}",
    )
    if not allowed:
        return
    origin = WorkOrigin(Why.RESUMED, builder.now, trace=builder.trace)
    if source.state is State.EXPIRED:
        start_restoring(builder, source, origin)
    elif source.work is not None and source.work.then_restore is None:
        restore_later(builder, source, origin)


def _stopped_again(builder: DecisionBuilder, source: Source) -> None:
    """Drop a pending restore that was requested only because the source was active again."""
    later = source.work.then_restore if source.work else None
    if source.work is not None and later is not None and later.why is Why.RESUMED:
        builder.put(replace(source, work=replace(source.work, then_restore=None)))


def _deleted(builder: DecisionBuilder, key: str) -> None:
    """A deleted definition counts as stopped at that moment, and keeps its last tags."""
    builder.quarantine(key, None)
    if key in builder.catalog:
        builder.undefine(key)
        builder.exempt_stale = True
    source = builder.sources.get(key)
    if source is None or source.status is None:
        return
    stopped_at = source.stopped_at if source.stopped_at is not None else builder.now
    source = replace(source, status=None, deleted=True, stopped_at=stopped_at)
    builder.audit(source, "deleted", reason="the definition was deleted: it counts as stopped")
    source = builder.put(source)
    _stopped_again(builder, source)
    builder.unreconciled[key] = builder.trace
