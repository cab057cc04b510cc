"""Recovers a source whose own record is lost, from its record in `lifecycle.state`. Pure."""

from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.state import Source, Totals, Why, Work, WorkOrigin
from schemas.records.lifecycle import WORKING, SourceState

__all__ = ["recovered"]


def recovered(state: SourceState, now: int, policy: Policy) -> Source:
    """The source as last published. Work under way begins again with the next version, because it
    is no longer known which shards have finished.
    """
    shared = Source.__dataclass_fields__.keys() & SourceState.__dataclass_fields__.keys()
    facts = {name: getattr(state, name) for name in shared}
    archived = Totals(
        interactions=state.interactions,
        bytes=state.bytes,
        segments=state.segments,
        checksum=state.checksum or "",
    )
    source = Source(**facts | {"archived": archived, "changed_at": state.updated_at})
    if state.state not in WORKING:
        return source
    work = Work(WorkOrigin(Why.RETENTION, now), now, now + policy.shard_deadline_ms)
    return Source(
        **facts
        | {
            "archived": archived,
            "changed_at": now,
            "version": state.version + 1,
            "message": None,
            "work": work,
        }
    )
