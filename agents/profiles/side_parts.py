"""The parts of a shard's side table, each decoded once however often it is asked for."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from agents.host import NotHeld
from streams.mirror import Mirror
from streams.side import SideTable, decode
from streams.store import Store

__all__ = ["SideParts"]

_ATTEMPTS = 20
_PAUSE_S = 0.005


class SideParts:
    """Runs and deltas of one side table, put through `keep`, which takes rows or columns away.

    Parts are immutable and have keys of their own: what has come since the last question is
    decoded, what has gone is forgotten, and the rest stays.
    """

    def __init__(self, table: SideTable, keep: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._table = table
        self._keep = keep
        self._parts: dict[bytes, pl.DataFrame] = {}
        self._joined = keep(pl.DataFrame(schema=table.schema))
        self._empty = self._joined
        self._lock = threading.Lock()

    async def rows(self, store: Store) -> pl.DataFrame:
        """All rows as they stand after some step, not folded.

        Raises `NotHeld` where the shard changes faster than it can be read.
        """
        for _ in range(_ATTEMPTS):
            deltas = dict(store.table.side[self._table.delta])
            runs = list(store.table.runs[self._table.run])
            if self._parts.keys() == deltas.keys() | set(runs):
                return self._joined
            found = await asyncio.to_thread(self._read, deltas, runs, store.mirror)
            if found is not None:
                return found
            # a step is between mirror and table: in a moment it is in both
            await asyncio.sleep(_PAUSE_S)
        raise NotHeld(f"shard {store.partition} changes faster than it can be read")

    def _read(
        self, deltas: Mapping[bytes, pl.DataFrame], runs: Sequence[bytes], mirror: Mirror
    ) -> pl.DataFrame | None:
        with self._lock:
            parts: dict[bytes, pl.DataFrame] = {}
            for key in runs:
                part = self._parts.get(key)
                if part is None:
                    data = mirror.get(key)
                    if data is None:
                        return None
                    part = self._keep(decode(data))
                parts[key] = part
            for key, frame in deltas.items():
                held = self._parts.get(key)
                parts[key] = self._keep(frame) if held is None else held
            joined = pl.concat([self._empty, *(part for part in parts.values() if part.height)])
            self._parts, self._joined = parts, joined
            return joined
