"""Bring sources in line with the catalog, the references and the holds."""

from dataclasses import replace

from agents.coordinator.rules.decision import Draft
from agents.coordinator.rules.quarantine import exempt
from agents.coordinator.rules.retention import standing
from agents.coordinator.rules.state import Source
from schemas.records.lifecycle import HIDDEN

__all__ = ["settle", "settle_all"]


def settle_all(draft: Draft) -> None:
    """Settle every source that the news may have touched.

    Once for many catalog records: who uses what is found anew for the whole catalog.
    """
    if draft.exempt_stale:
        former = draft.exempt
        draft.exempt = exempt(
            draft.catalog,
            draft.used,
            draft.asides,
            draft.sources,
            segments_are_roots=draft.policy.segments_are_roots,
        )
        draft.exempt_stale = False
        for name in former.keys() | draft.exempt.keys():
            if former.get(name) != draft.exempt.get(name):
                draft.unsettled[name] = None
    names, draft.unsettled = sorted(draft.unsettled), {}
    for name in names:
        source = draft.sources.get(name)
        if source is not None:
            settle(draft, source)


def settle(draft: Draft, source: Source) -> Source:
    """Keep a source with its references as they are now and, while visible, its state."""
    source = _referenced(draft, source)
    old = draft.sources.get(source.source)
    if source.state in HIDDEN:
        return draft.put(source)
    source = draft.put(standing(source, draft.policy))
    if old is None or old.state is not source.state:
        draft.audit(
            source,
            "state",
            from_state=old.state if old else None,
            to_state=source.state,
            reason=_reason(source),
        )
    elif old.due_at != source.due_at:
        draft.audit(source, "due", reason=_reason(source), detail=str(source.due_at))
    return source


def _referenced(draft: Draft, source: Source) -> Source:
    former, present = source.exempt_by, draft.exempt.get(source.source, ())
    if former == present:
        return source
    if not present:
        draft.audit(source, "released", reason=f"no longer used by {former[0].root}")
        return replace(source, exempt_by=present, released_at=draft.now)
    if not former:
        hidden = source.state in HIDDEN
        draft.audit(
            source,
            "referenced_while_hidden" if hidden else "referenced",
            reason=f"used by {present[0].root} ({present[0].filter})",
            detail="queries that rest on it are refused until it is restored" if hidden else None,
        )
    return replace(source, exempt_by=present)


def _reason(source: Source) -> str:
    if source.held is not None:
        return f"held by {source.held.by or 'an operator'}"
    if source.exempt_by:
        use = source.exempt_by[0]
        through = f" through {', '.join(use.through)}" if use.through else ""
        return f"used by {use.root}{through} ({use.filter})"
    if source.due_because is not None:
        return source.due_because
    return (source.status or "no definition").lower()
