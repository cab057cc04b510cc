"""The sources that can be queried, by the states that this worker knows."""

from agents.scatter.context import WorkerContext
from agents.scatter.errors import DeletedSource, HiddenSource, Unavailable, UnknownSource
from schemas.records.lifecycle import SourceState

__all__ = ["known", "states_read", "visible"]


def states_read(context: WorkerContext) -> None:
    """Raises Unavailable while this worker does not know which sources are hidden."""
    if not context.states.caught_up.is_set():
        raise Unavailable("This worker has not read the state of the sources yet")


def known(context: WorkerContext, source: str) -> SourceState:
    """The source's record. Raises Unavailable, UnknownSource."""
    states_read(context)
    record = context.states.get(source)
    if record is None:
        raise UnknownSource(source)
    return record


def visible(context: WorkerContext, source: str) -> SourceState:
    """The source's record, if its data is visible.

    Raises Unavailable, UnknownSource, DeletedSource, HiddenSource.
    """
    record = known(context, source)
    if record.legacy_deleted:
        raise DeletedSource(source)
    if record.hidden:
        raise HiddenSource(source, record.state)
    return record
