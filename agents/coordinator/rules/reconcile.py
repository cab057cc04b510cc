"""Brings sources into agreement with the catalog, the references and the holds."""

from dataclasses import replace

from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.quarantine import exempt
from agents.coordinator.rules.retention import with_own_state
from agents.coordinator.rules.state import Source
from schemas.records.lifecycle import HIDDEN

__all__ = ["reconcile", "reconcile_all"]


def reconcile_all(builder: DecisionBuilder) -> None:
    """Reconcile every source that the processed records may have affected.

    It runs once for many catalog records, because it computes the uses of the whole catalog.
    """
    # uses may have changed by any of the catalog's news: only one alone is surely the cause
    traces, builder.catalog_traces = builder.catalog_traces, set()
    if builder.exempt_stale:
        former = builder.exempt
        builder.exempt = exempt(
            builder.catalog,
            builder.used,
            builder.quarantined,
            builder.sources,
            segments_are_roots=builder.policy.segments_are_roots,
        )
        builder.exempt_stale = False
        for name in former.keys() | builder.exempt.keys():
            if former.get(name) != builder.exempt.get(name):
                builder.unreconciled.setdefault(
                    name, next(iter(traces)) if len(traces) == 1 else ""
                )
    names, builder.unreconciled = sorted(builder.unreconciled.items()), {}
    for name, trace in names:
        source = builder.sources.get(name)
        if source is not None:
            with builder.caused_by(trace):
                reconcile(builder, source)


def reconcile(builder: DecisionBuilder, source: Source) -> Source:
    """Store a source with its current references and, if it is visible, its state."""
    source = _referenced(builder, source)
    old = builder.sources.get(source.source)
    if source.state in HIDDEN:
        return builder.put(source)
    source = builder.put(with_own_state(source, builder.policy))
    if old is None or old.state is not source.state:
        builder.audit(
            source,
            "state",
            from_state=old.state if old else None,
            to_state=source.state,
            reason=_reason(source),
        )
    elif old.due_at != source.due_at:
        builder.audit(source, "due", reason=_reason(source), detail=str(source.due_at))
    return source


def _referenced(builder: DecisionBuilder, source: Source) -> Source:
    former, present = source.exempt_by, builder.exempt.get(source.source, ())
    if former == present:
        return source
    if not present:
        builder.audit(source, "released", reason=f"no longer used by {former[0].root}")
        return replace(source, exempt_by=present, released_at=builder.now)
    if not former:
        hidden = source.state in HIDDEN
        builder.audit(
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
