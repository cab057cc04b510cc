"""Erasures in a shard: hides users as soon as a request asks for it, and reports what is done.

The coordinator's open requests say what should be true; `z`, `g/` and `j/` of the changelog say
what this shard has done. Every step is one transaction: after a crash it has happened or not.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable

import polars as pl

from agents.coordinator.rules.bounds import HELD_NAMED
from agents.shard.jobs.context import ShardContext
from agents.shard.jobs.indexer import Indexer
from agents.shard.jobs.unmerge import Unmerge
from schemas.errors import Fatal
from schemas.records.lifecycle import ErasureItem
from schemas.tables.erased import DIGEST_BYTES, ErasureKey, Mask
from streams.erasure_key import erasure_key
from streams.state import keys
from streams.state.erasures import ErasureMarks, ErasureWork, puts_of
from streams.state.store import Put, Step

__all__ = ["Erasures", "dirty_entries"]

log = logging.getLogger(__name__)

#: A report may be lost: it is repeated while the request is open.
_AGAIN_S = 30.0
#: What has changed is looked for at most so often: the manifest may be long.
_LOOK_S = 0.2
_KEY_EVERY_S = 1.0
_WARN_EVERY_S = 60.0
_REPORTED = 200
"""Requests of one report."""


class Erasures:
    """The requests of one shard that erase users."""

    def __init__(self, context: ShardContext, indexer: Indexer) -> None:
        self._context = context
        self._indexer = indexer
        self._unmerge = Unmerge(context)
        self._told: dict[str, ErasureItem] = {}
        self._told_at = 0.0
        self._look_at = 0.0
        self._look_for_key_at = 0.0
        self._warn_at = 0.0

    async def hide(self) -> bool:
        """Hide the users of one new request, or forget one that is over: one step. False if there
        is none.

        A request whose key this worker has not waits, with a warning. Raises `Fenced`,
        `StepFailed`.
        """
        view, table = self._context.view.erasures, self._context.store.table
        if not view.caught_up:
            return False  # what is read again from the log's beginning may be over
        for request_id, at, users in view.orders(self._context.partition):
            if request_id not in table.erasures and await self._hide(request_id, at, users):
                return True
        over = [one for one in table.erasures if not view.open(one)]
        if over:
            await self._context.store.commit(Step(puts=[(keys.erasure(o), None) for o in over]))
        return bool(over)

    async def _hide(self, request_id: str, at: int, users: Collection[str]) -> bool:
        table = self._context.store.table
        if not users:
            await self._begun(request_id, ErasureWork(0, 0), [])
            return True
        key = await self._key()
        opened = [None if key is None else key.opened(user) for user in users]
        tokens = [found[1] for found in opened if found is not None]
        if key is None or len(tokens) != len(opened):
            self._warn(request_id)
            return False
        known = table.mask.users
        # a request that is read twice must not erase a user who has come back since
        fresh = [
            token
            for token in tokens
            if (former := known.get(token[:DIGEST_BYTES])) is None or former.erased_at < at
        ]
        entries = table.mask.erased(fresh, at)
        generation = table.mask.generation + bool(entries)
        marks = table.erasure_marks or ErasureMarks(key.id, 0)
        base = table.mask if table.mask.key is key else Mask(key)
        rows = await asyncio.to_thread(_hidden, base.changed(entries), table.deltas.frames())
        puts: list[Put] = [
            ErasureMarks(key.id, generation, marks.hot, marks.dead).put(),
            *puts_of(entries),
        ]
        await self._begun(request_id, ErasureWork(generation, len(tokens), rows), puts)
        return True

    async def _key(self) -> ErasureKey | None:
        context, table = self._context, self._context.store.table
        if table.erasure_key is None and context.clock.monotonic_s() >= self._look_for_key_at:
            # it may have been made since this shard was taken over
            self._look_for_key_at = context.clock.monotonic_s() + _KEY_EVERY_S
            table.erasure_key = await asyncio.to_thread(_key, context)
        return table.erasure_key

    async def unmerge(self) -> bool:
        """A step towards records of other users that do not name erased ones; False if there is
        nothing to do now. Raises `Fenced`, `StepFailed`.
        """
        waiting = [
            request_id
            for request_id, work in self._context.store.table.erasures.items()
            if not work.apart
        ]
        if not waiting:
            return False
        key = await self._key()
        if key is None:
            self._warn(waiting[0])
            return False
        return await self._unmerge.step(key, waiting)

    async def _begun(self, request_id: str, work: ErasureWork, puts: list[Put]) -> None:
        item = ErasureItem(request_id, rows=work.rows)
        self._told[request_id] = item
        records = self._context.erasure_report([item])
        await self._context.store.commit(Step(puts=[*puts, work.put(request_id)], records=records))

    def _warn(self, request_id: str) -> None:
        now = self._context.clock.monotonic_s()
        if now < self._warn_at:
            return
        self._warn_at = now + _WARN_EVERY_S
        log.warning(
            "shard %d has not the key under which %s erases users (erasure_key_file): give every "
            "worker the same file, and start this worker again",
            *(self._context.partition, request_id),
        )

    async def report(self) -> bool:
        """Report what has changed, and now and then everything again: one step, or False."""
        context, works = self._context, self._context.store.table.erasures
        if not works:
            self._told.clear()
            return False
        now = context.clock.monotonic_s()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        again = now >= self._told_at + _AGAIN_S
        items = [self._item(request_id, work) for request_id, work in works.items()]
        news = [item for item in items if again or self._told.get(item.request_id) != item]
        if again:
            self._told_at = now
        if not news:
            return False
        await context.store.commit(Step(records=context.erasure_report(news[:_REPORTED])))
        self._told |= {item.request_id: item for item in news[:_REPORTED]}
        return True

    def _item(self, request_id: str, work: ErasureWork) -> ErasureItem:
        table = self._context.store.table
        marks = table.erasure_marks
        generation = work.generation
        if not work.users:
            return ErasureItem(
                request_id,
                hot=True,
                archive=True,
                deleted=True,
                merges=work.merges,
                apart=work.apart,
            )
        hot = marks is not None and marks.hot >= generation and self._indexer.is_clean()
        dirty = table.archive_clean < generation
        left = dirty_entries(self._context, generation) if dirty else []
        held = self._held(source for source, _ in left)
        archive = hot and not left
        return ErasureItem(
            request_id,
            rows=work.rows,
            hot=hot,
            archived=work.archived,
            left=len(left),
            archive=archive,
            deleted=archive and marks is not None and not marks.dead,
            held=held,
            merges=work.merges,
            apart=work.apart,
        )

    def _held(self, archived: Iterable[str]) -> tuple[str, ...]:
        """Held sources that may have rows of erased users."""
        table = self._context.store.table
        hot = (source for name in table.unclean for source in table.segments[name].sources)
        return tuple(sorted(self._context.held({*hot, *archived})))[:HELD_NAMED]


def dirty_entries(context: ShardContext, below: int | None = None) -> list[tuple[str, str]]:
    """Source and segment id of the manifest's entries that have not passed the mask, or its
    generation `below`, in the order of the archive.
    """
    table = context.store.table
    generation = table.mask.generation if below is None else below
    found = [
        (entry.offset, source, name)
        for source, entries in table.manifest.items()
        for name, entry in entries.items()
        if entry.masked < generation
    ]
    return [(source, name) for _, source, name in sorted(found)]


def _hidden(mask: Mask, frames: Iterable[pl.DataFrame]) -> int:
    """How many rows of deltas a mask hides: they go with the step that brings the mask."""
    return sum(frame.height - mask.rows(frame).height for frame in frames)


def _key(context: ShardContext) -> ErasureKey | None:
    try:
        return erasure_key(context.settings)
    except Fatal as error:
        log.warning("%s", error)
        return None
