"""Checks whether a shard may answer: it is the owner, and it has applied what its view says.

A view has the desired state of a source, the hot table the state that this shard has applied. An
answer needs both to agree: a shard that has archived a source and not restored it cannot answer for
a source that the view shows as visible, whichever version is higher.
"""

from weakref import WeakKeyDictionary

from agents.shard.jobs.context import ShardContext
from agents.shard.protocol import NotHeld
from schemas.records.lifecycle import SourceState, State
from streams.state.hot_table import Applied
from streams.state.store import Store

__all__ = ["check_all", "check_applied", "check_held", "check_owned", "disagreement"]

#: For each store, the changes of view and table up to which all sources have agreed.
_agreed: "WeakKeyDictionary[Store, tuple[int, int]]" = WeakKeyDictionary()


def disagreement(
    source: str, record: SourceState | None, worked: int, done: Applied | None
) -> str | None:
    """Why a shard that has applied `done` may not answer for a source; None if it may.

    `record` is the source's record in the view, `worked` the last version of it that shards had to
    carry out. A source that was archived must be restored in every shard, also in shards without
    rows of it.
    """
    if done is not None and (record is None or done.version > record.version):
        return f"has applied version {done.version} of {source}, which is not read here yet"
    if record is None or record.hidden:
        return None
    if done is None:
        back = worked or record.epoch
        return f"has never brought {source} back from the archive" if back else None
    if done.state == State.EXPIRING or done.version < worked:
        return (
            f"has applied {done.state} at version {done.version} of {source} and nothing since: "
            f"it is {record.state} at version {record.version}"
        )
    return None


def check_owned(context: ShardContext) -> None:
    """Raises `NotHeld` unless the shard has proven to be its owner since the last doubt."""
    context.ownership.check()
    if not context.store.owned:
        raise NotHeld(f"shard {context.partition} has to prove that it has no newer owner")


def check_held(context: ShardContext, source: str, version: int | None) -> None:
    """Raises `NotHeld` unless the shard is the owner, its view of the source has exactly `version`,
    the source is visible, and the shard has applied the same.
    """
    check_owned(context)
    record = context.view.get(source)
    seen = record.version if record is not None else None
    if seen != version:
        raise NotHeld(f"shard {context.partition} has seen {source} at {seen}, not {version}")
    if context.view.hidden(source):
        raise NotHeld(f"{source} is hidden")
    check_applied(context, source)


def check_applied(context: ShardContext, source: str) -> None:
    """Raises `NotHeld` if the shard's applied state of the source does not agree with the view."""
    done = context.store.table.applied.get(source)
    why = disagreement(source, context.view.get(source), context.view.worked(source), done)
    if why is not None:
        raise NotHeld(f"shard {context.partition} {why}")


def check_all(context: ShardContext) -> None:
    """Raises `NotHeld` if any source does not agree. Checks again only after changes."""
    view, table = context.view, context.store.table
    mark = (view.changes, table.works)
    if _agreed.get(context.store) == mark:
        return
    for source in table.applied:
        check_applied(context, source)
    for source in view.brought_back():
        check_applied(context, source)
    _agreed[context.store] = mark
