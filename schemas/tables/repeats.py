"""The window of recent event ids, so that a repeated event is not counted twice.

Ids are kept as 64-bit hashes: with a million of them, the probability that a new id is mistaken for
a repeat is one in 18 million million.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from schemas.tables import delta
from schemas.tables.stable_hash import stable_hash
from schemas.tables.view import FEW, select

__all__ = ["Window", "hashes", "pack", "unpack"]

#: A block is sorted anew until it is so many times the size of what comes in.
_TIER = 8
#: No block has more than this part of the window: what is forgotten is forgotten by blocks.
_BLOCKS = 4
_PACKED = pl.Schema({"h": pl.UInt64})


def hashes(ids: pl.Series) -> pl.Series:
    """UInt64 hashes of ids, the same in every process and version, because they are stored."""
    return stable_hash(ids)


@dataclass
class Window:
    """The hashes of the last events; at most about `limit`.

    Kept as sorted blocks, each for a stretch of time; older blocks are larger. A step searches
    about twenty blocks, and each hash is sorted only a few times, even with small steps.
    """

    limit: int
    blocks: list[pl.Series] = field(default_factory=list)

    def fresh(self, found: pl.Series) -> pl.Series:
        """For each hash whether it is new: neither in the window nor earlier in `found`."""
        if len(found) < FEW:
            return found.is_first_distinct() & ~self._known(found)
        # Searched in order, neighbours share their way through a block. Mostly all are fresh,
        # and nothing has to find its way back to its place.
        ordered = found.sort()
        if not self._known(ordered).any() and not (ordered == ordered.shift()).any():
            return pl.repeat(True, len(found), eager=True)
        order = found.arg_sort()
        known = self._known(found[order])
        return found.is_first_distinct() & ~known[order.arg_sort()]

    def _known(self, asked: pl.Series) -> pl.Series:
        """One query for all blocks, because a query costs more than a search."""
        column = pl.col("asked")
        found = [
            block.gather(block.search_sorted(column).clip(0, size - 1)) == column
            for block, size in ((pl.lit(block), len(block)) for block in self.blocks)
            if size
        ]
        known = pl.any_horizontal(pl.lit(False), *found)
        frame = pl.DataFrame([asked.alias("asked")])
        return select(frame, [known.alias("known"), column])["known"]

    @classmethod
    def of(cls, limit: int, pieces: Iterable[pl.Series]) -> "Window":
        """The window that results from adding `pieces` in order, with each sorted once."""
        window = cls(limit)
        gathered: list[pl.Series] = []
        for piece in pieces:
            if gathered and sum(map(len, gathered)) + len(piece) > max(1, limit // _BLOCKS):
                window.add(pl.concat(gathered))
                gathered = []
            gathered.append(piece)
        if gathered:
            window.add(pl.concat(gathered))
        return window

    def add(self, found: pl.Series) -> None:
        """Adds hashes and drops the oldest blocks that exceed the limit."""
        if found.is_empty():
            return
        self.blocks.append(found.sort())
        while len(self.blocks) > 1 and len(self.blocks[-2]) <= _TIER * len(self.blocks[-1]):
            if len(self.blocks[-2]) + len(self.blocks[-1]) > max(1, self.limit // _BLOCKS):
                break
            last, former = self.blocks.pop(), self.blocks.pop()
            self.blocks.append(pl.concat([former, last]).sort())
        while self.blocks and sum(map(len, self.blocks[1:])) >= self.limit:
            del self.blocks[0]


def pack(found: pl.Series) -> bytes:
    """Hashes as bytes."""
    return delta.encode(pl.DataFrame([found.alias("h")]))


def unpack(data: bytes) -> pl.Series:
    """What `pack` wrote."""
    return delta.decode(data, _PACKED)["h"]
