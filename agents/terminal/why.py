"""Why a source has its state, in a few words for a table."""

from schemas.records.lifecycle import SourceState

__all__ = ["why"]


def why(record: SourceState) -> str:
    """The reason of a source's state, in a few words."""
    if record.stuck:
        return f"stuck: shards {', '.join(map(str, record.stuck))} have not answered"
    if record.held is not None:
        return f"held by {record.held.by}" + (f": {record.held.reason}" if record.held.reason else
                                              "")  # fmt: skip
    if record.exempt_by:
        first, *rest = record.exempt_by
        through = "".join(f" through {segment}" for segment in first.through)
        more = f" and {len(rest)} more" if rest else ""
        return f"{first.filter} of {first.root}{through}{more}"
    return record.due_because or record.message or ""
