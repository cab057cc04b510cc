"""Until when the data of a source is available, or why there is no such date. Pure."""

from schemas.records.lifecycle import HIDDEN, SourceState, State

__all__ = ["availability"]

_BECAUSE = {
    State.ACTIVE: "it is active",
    State.HELD: "it is held",
    State.UNKNOWN: "it has no definition",
}


def availability(record: SourceState | None) -> tuple[int | None, str | None]:
    """The date in UTC milliseconds and why there is none; both None if the data is hidden now."""
    if record is None or record.state in HIDDEN or record.legacy_deleted:
        return None, None
    if record.due_at is not None:
        return record.due_at, None
    if record.exempt_by:
        return None, f"{record.exempt_by[0].root} uses it"
    return None, _BECAUSE.get(record.state, "nothing says when")
