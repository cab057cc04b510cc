"""Keeps the index by user up to date with the hot table, with the lowest priority.

Answers are correct without the index. So the indexer takes segments only when they are many or have
waited for a while, and pauses as long as it has worked.
"""

import polars as pl

from agents.shard.jobs.context import ShardContext
from schemas.segment.index import SegmentIndex
from streams.state.store import bounded, made_ms
from streams.user_index.by_user import ByUser
from streams.user_index.read import SegmentGone

__all__ = ["Indexer"]

#: Rows of one run: a fraction of a second, as lifecycle work waits until it is written.
_RUN_ROWS = 300_000
_DUE_ROWS = 250_000
_DUE_AGE_MS = 30_000


class Indexer:
    """Indexes one shard's segments, and merges the resulting runs."""

    def __init__(self, context: ShardContext, users: ByUser) -> None:
        self._context = context
        self._users = users
        self._rest_until = 0.0

    @property
    def rest_s(self) -> float:
        """Seconds until `step` has work again, if there is any."""
        return max(0.0, self._rest_until - self._context.clock.monotonic_s())

    async def step(self) -> bool:
        """Writes one run, or a part of a merge of runs; False if nothing is due.

        Raises `UserStoreFailed`.
        """
        began = self._context.clock.monotonic_s()
        if began < self._rest_until:
            return False
        if not await self._step():
            return False
        ended = self._context.clock.monotonic_s()
        self._rest_until = ended + (ended - began)
        return True

    async def _step(self) -> bool:
        store = self._context.store
        if await self._users.compact(store.table):
            return True
        chosen = self._due()
        if not chosen:
            return False
        try:
            await self._users.index(chosen, store.state_store, self._masked)
        except SegmentGone:
            # Replaced since it was chosen; what replaces it is there the next time.
            return False
        return True

    def _masked(self, index: SegmentIndex, rows: pl.DataFrame) -> pl.DataFrame:
        table = self._context.store.table
        return table.mask.rows(rows) if index.id in table.unclean else rows

    def is_clean(self) -> bool:
        """Whether the index has no rows of erased users."""
        return self._users.is_clean(self._context.store.table.mask)

    async def clean(self) -> None:
        """A bounded step towards that. Raises `UserStoreFailed`."""
        await self._users.compact(self._context.store.table)

    def _due(self) -> list[SegmentIndex]:
        """The next segments to index, oldest first.

        Segments with only hidden sources are left out, because they will soon be archived.
        """
        context = self._context
        waiting = sorted(
            (
                index
                for index in self._users.uncovered(context.store.table)
                if not all(context.view.hidden(source) for source in index.sources)
                and index.id not in context.damaged
            ),
            key=lambda index: index.id,
        )
        if not waiting:
            return []
        aged = made_ms(waiting[0].id) + _DUE_AGE_MS <= context.clock.now_ms()
        if not aged and sum(index.rows for index in waiting) < _DUE_ROWS:
            return []
        return next(bounded(waiting, lambda index: index.rows, _RUN_ROWS))
