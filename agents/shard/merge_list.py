"""The merges of one shard's users: cached between queries, and extended by new roster records."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from agents.resources.threads import whole
from schemas.tables.merges import MERGES_SCHEMA, merges_of, version_of
from streams.state.auxiliary_table import ROSTER
from streams.state.store import PinnedShard, Store

__all__ = ["MergeList", "Merges"]


@dataclass(frozen=True, slots=True, eq=False)
class Merges:
    """`frame` in MERGES_SCHEMA, by user. The same merges have the same `version`, which is empty
    where there are none.
    """

    frame: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MERGES_SCHEMA))
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The parts of the roster that the merges were made from. Holds the deltas: otherwise another
    frame could be taken for one of them.
    """

    runs: tuple[bytes, ...] = ()
    deltas: tuple[pl.DataFrame, ...] = ()
    generation: int = 0

    def same(self, other: "_Seen") -> bool:
        return self.begins(other) and len(self.deltas) == len(other.deltas)

    def begins(self, other: "_Seen") -> bool:
        """Whether the other has these parts, and perhaps later deltas."""
        if (self.runs, self.generation) != (other.runs, other.generation):
            return False
        theirs = other.deltas[: len(self.deltas)]
        return list(map(id, self.deltas)) == list(map(id, theirs))


@dataclass
class MergeList:
    """Keeps the merges, about 100 bytes each, and reads each record of the roster once."""

    _merges: Merges = field(default_factory=Merges)
    _seen: _Seen = field(default_factory=_Seen)
    #: Pins come in the order in which they were made.
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, store: Store) -> Merges:
        """The merges as of now, or of a moment since the call."""
        async with self._turn:
            table = store.table
            runs = tuple(sorted(table.runs[ROSTER.run]))
            deltas: Mapping[bytes, pl.DataFrame] = table.auxiliary[ROSTER.delta]
            now = _Seen(runs, tuple(deltas.values()), table.mask.generation)
            if not self._seen.same(now):
                pinned = await store.pin()
                await whole(partial(self._hear, pinned))
            return self._merges

    def _hear(self, pinned: PinnedShard) -> None:
        runs, deltas = pinned.runs.get(ROSTER.run, ()), pinned.auxiliary.get(ROSTER.delta, ())
        now = _Seen(runs, deltas, pinned.mask.generation)
        if self._seen.begins(now):
            fresh = deltas[len(self._seen.deltas) :]
            said = ROSTER.fold(pl.concat([pl.DataFrame(schema=ROSTER.schema), *fresh]))
            former = self._merges.frame.join(said, on="user", how="anti")
        else:
            said = pinned.auxiliary_rows(ROSTER)
            former = self._merges.frame.clear()
        merged = merges_of(said)
        if merged.height or former.height < self._merges.frame.height:
            frame = pl.concat([former, merged]).sort("user")
            self._merges = Merges(frame, version_of(frame))
        self._seen = now
