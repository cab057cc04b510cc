"""Shard reports: a set of partitions for each (source, version), and sources without a
definition.
"""

from collections.abc import Sequence
from dataclasses import replace

from agents.coordinator.rules import erasures, failures, requests, transitions
from agents.coordinator.rules.decision import DecisionBuilder
from agents.coordinator.rules.inputs import StateForeign
from agents.coordinator.rules.reconcile import reconcile
from agents.coordinator.rules.state import Source, Totals, Work
from agents.coordinator.rules.wording import moment
from schemas.records.lifecycle import Phase, Report, ReportItem, State

__all__ = ["foreign", "overdue", "read"]

FOREIGN_AUDITED = 20
"""Strange records in `lifecycle.state` that are audited in one batch of inputs."""
PROGRESS_MS = 1_000
"""How often the progress of a source is written at most."""
STUCK_SHOWN = 100
"""Late shards in a source's record: there may be thousands."""
STUCK_NAMED = 20
"""Late shards that its message names."""
_ARCHIVED = (State.EXPIRING, State.EXPIRED)
_FINISHES = {Phase.EXPIRED: State.EXPIRING, Phase.RESTORED: State.RESTORING}


def read(builder: DecisionBuilder, report: Report) -> None:
    """Process one shard's report. A stale or repeated report changes nothing."""
    if not 0 <= report.partition < builder.policy.partitions:
        if builder.once("report_ignored"):
            builder.audit(
                None,
                "report_ignored",
                reason=f"partition {report.partition} of {builder.policy.partitions}",
            )
        return
    for item in report.items:
        source = builder.sources.get(item.source)
        if item.phase is Phase.SEEN:
            _seen(builder, source, item)
        elif source is not None and source.work is not None and source.version == item.version:
            _worked(builder, source, source.work, report.partition, item)
    for erasure in report.erasures:
        erasures.worked(builder, report.partition, erasure)


def overdue(builder: DecisionBuilder) -> None:
    """Find shards that have not reported in time: audit them, show them, and publish their states
    again.
    """
    for source in list(builder.sources.values()):
        work = source.work
        if work is None or builder.now < work.deadline:
            continue
        missing = [one for one in range(builder.policy.partitions) if one not in work.reported]
        stuck = tuple(missing[:STUCK_SHOWN])
        message = _stuck_message(source, work, missing, builder.now)
        if stuck != work.stuck:
            builder.audit(source, "stuck", reason=message)
        deadline = builder.now + builder.policy.shard_deadline_ms
        # The record goes out again under the same version: a shard that lost it sees it now.
        builder.put(
            replace(
                source,
                message=message,
                work=replace(work, stuck=stuck, deadline=deadline),
            ),
            publish=True,
        )


def _stuck_message(source: Source, work: Work, missing: Sequence[int], now: int) -> str:
    names = ", ".join(f"shard {partition}" for partition in missing[:STUCK_NAMED])
    more = f" and {len(missing) - STUCK_NAMED} more" if len(missing) > STUCK_NAMED else ""
    why = f"; {source.failure.sentence()}" if source.failure is not None else ""
    return (
        f"stuck: {names}{more} not done with {source.state} since "
        f"{moment(work.started_at, now)}{why}; see "
        f"what its worker says, or turn round with `emberline cancel {source.source}`"
    )


def foreign(builder: DecisionBuilder, item: StateForeign) -> None:
    """Publish the state of a source again, because another producer has written over it.

    Readers accept the highest version, so the new version must exceed a foreign one that is higher
    than ours.
    """
    source = builder.sources.get(item.source)
    if source is None:
        return
    if item.version >= source.version:
        work = source.work
        if work is not None:
            # the shards begin again with the new version
            work = replace(work, reported=frozenset(), totals=Totals(), progress={})
        source = replace(source, version=item.version + 1, work=work)
    if builder.once("foreign_state", FOREIGN_AUDITED):
        builder.audit(
            source,
            "foreign_state_overwritten",
            reason="only the coordinator may write to lifecycle.state",
        )
    builder.put(source, publish=True)


def _seen(builder: DecisionBuilder, source: Source | None, item: ReportItem) -> None:
    if source is None:
        source = reconcile(builder, Source(item.source))
        builder.audit(
            source,
            "unknown_source_seen",
            reason="events of a source without a definition: they stay hot",
        )
    elif source.state in _ARCHIVED and item.interactions > source.archived.late_interactions:
        late = replace(source.archived, late_interactions=item.interactions)
        builder.put(replace(source, archived=late))


def _worked(
    builder: DecisionBuilder, source: Source, work: Work, partition: int, item: ReportItem
) -> None:
    if partition in work.reported:
        return
    if item.phase is Phase.MENDED:
        builder.audit(source, "archive_mended", reason=item.code, detail=item.detail)
        return
    if item.phase is Phase.FAILED and source.state is State.RESTORING:
        found = failures.failure(builder, partition, item, final=True)
        with builder.caused_by(work.origin.trace):
            transitions.restore_failed(builder, source, found)
        return
    if item.phase in (Phase.DELAYED, Phase.FAILED):
        _delayed(builder, source, work, partition, item)
        return
    if item.phase is Phase.PROGRESS:
        done, total, size = work.progress.get(partition, (0, 0, 0))
        part = (max(item.done, done), max(item.total, total), max(item.bytes, size))
        work = replace(work, progress={**work.progress, partition: part})
        source = builder.note(replace(source, work=work))
    elif _FINISHES[item.phase] is source.state:
        former = source.failure
        if former is not None and former.shard == partition and not former.final:
            source = replace(source, failure=None, message=None)
        source = builder.put(replace(source, work=_reported(work, partition, item)))
        if source.work is not None and len(source.work.reported) == builder.policy.partitions:
            finish = transitions.expired if item.phase is Phase.EXPIRED else transitions.restored
            # also what the last report completes belongs to what began the work
            with builder.caused_by(work.origin.trace):
                finish(builder, source)
            return
    else:
        return
    _progress(builder, source)


def _delayed(
    builder: DecisionBuilder, source: Source, work: Work, partition: int, item: ReportItem
) -> None:
    """Show at once which shard cannot go on, and why: it tries again by itself."""
    found = failures.failure(builder, partition, item, source.failure)
    stuck = tuple(sorted({*work.stuck, partition})[:STUCK_SHOWN])
    message = _stuck_message(replace(source, failure=found), work, stuck, builder.now)
    if message == source.message:
        return
    builder.audit(source, "stuck", reason=message)
    # why a restore has failed counts more than why its return takes long
    kept = source.failure if source.failure is not None and source.failure.final else found
    work = replace(work, stuck=stuck)
    builder.put(replace(source, failure=kept, message=message, work=work))


def _reported(work: Work, partition: int, item: ReportItem) -> Work:
    totals = Totals(
        interactions=item.interactions,
        late_interactions=item.late_interactions,
        bytes=item.bytes,
        segments=item.segments,
        checksum=item.checksum,
    )
    return replace(
        work,
        reported=work.reported | {partition},
        totals=Totals.sum((work.totals, totals)),
        progress={**work.progress, partition: (item.segments, item.segments, item.bytes)},
        stuck=tuple(other for other in work.stuck if other != partition),
    )


def _progress(builder: DecisionBuilder, source: Source) -> None:
    work = source.work
    if work is None or builder.now - work.shown_at < PROGRESS_MS:
        return
    source = builder.note(replace(source, work=replace(work, shown_at=builder.now)))
    builder.put_progress(source.source)
    found = source.progress()
    if found is not None and found.done:
        request_id = work.origin.request_id
        requests.progress(builder, request_id, source.source, found.done, found.total)
