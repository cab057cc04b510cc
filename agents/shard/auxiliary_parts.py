"""The parts of a shard's auxiliary table, each decoded once and cached."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import polars as pl

from agents.resources.threads import execute
from agents.shard.protocol import NotHeld
from schemas.tables.erased import Mask
from streams.state.auxiliary_table import AuxiliaryTable, decode
from streams.state.state_store import StateStore
from streams.state.store import Store

__all__ = ["AuxiliaryParts"]

T = TypeVar("T")
J = TypeVar("J")

_ATTEMPTS = 20
_PAUSE_S = 0.005


class AuxiliaryParts(Generic[T, J]):
    """Runs and deltas of one auxiliary table: `keep` converts each part, `join` joins all parts.

    Parts are immutable and have unique keys: new parts are decoded, deleted parts are dropped, and
    the others stay cached. After an erasure all parts are made again, without what the mask hides.
    """

    def __init__(
        self,
        table: AuxiliaryTable,
        keep: Callable[[pl.DataFrame], T],
        join: Callable[[Sequence[T]], J],
    ) -> None:
        self._table = table
        self._keep = keep
        self._join = join
        #: The parts, and all of them together: one value, as threads replace it while the event
        #: loop reads it, which must never see the parts of one moment with the sum of another.
        self._held: tuple[dict[bytes, T], J] = ({}, join(()))
        self._generation = 0
        self._lock = threading.Lock()

    async def all(self, store: Store) -> J:
        """All parts as of some step, not folded.

        Raises `NotHeld` if the shard changes faster than it can be read.
        """
        for _ in range(_ATTEMPTS):
            deltas = dict(store.table.auxiliary[self._table.delta])
            runs = list(store.table.runs[self._table.run])
            mask = store.table.mask
            held, joined = self._held
            if held.keys() == deltas.keys() | set(runs) and self._generation == mask.generation:
                return joined
            unclean = frozenset(store.table.unclean_runs)
            read = partial(self._read, deltas, runs, store.state_store, (mask, unclean))
            found = await execute(read)
            if found is not None:
                return found
            # a step is between state store and table: in a moment it is in both
            await asyncio.sleep(_PAUSE_S)
        raise NotHeld(f"shard {store.partition} changes faster than it can be read")

    def _read(
        self,
        deltas: Mapping[bytes, pl.DataFrame],
        runs: Sequence[bytes],
        state_store: StateStore,
        hidden: tuple[Mask, frozenset[bytes]],
    ) -> J | None:
        mask, unclean = hidden
        with self._lock:
            former = self._held[0] if self._generation == mask.generation else {}
            parts: dict[bytes, T] = {}
            for key in runs:
                part = former.get(key)
                if part is None:
                    data = state_store.get(key)
                    if data is None:
                        return None
                    rows = decode(data)
                    part = self._keep(self._table.masked(mask, rows) if key in unclean else rows)
                parts[key] = part
            for key, frame in deltas.items():
                held = former.get(key)
                parts[key] = self._keep(frame) if held is None else held
            joined = self._join(tuple(parts.values()))
            self._held = (parts, joined)
            self._generation = mask.generation
            return joined
