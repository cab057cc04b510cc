"""The window of recent event ids, so that a repeated event is not counted twice.

Ids are kept as 64-bit hashes: with a million of them, the probability that a new id is mistaken for
a repeat is one in 18 million million.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from schemas.tables import delta
from schemas.tables.stable_hash import stable_hash
from schemas.tables.view import FEW, select

__all__ = ["Window", "hashes", "pack", "packed", "unpack"]

#: A block is sorted again until it is this many times the size of the new hashes.
_TIER = 8
#: No block has more than this part of the window: what is forgotten is forgotten by blocks.
_BLOCKS = 2
_PACKED = pl.Schema({"h": pl.UInt64})


def hashes(ids: pl.Series) -> pl.Series:
    """UInt64 hashes of ids, the same in every process and version, because they are stored."""
    return stable_hash(ids)


@dataclass
class Window:
    """The hashes of the last events; at most about `limit`.

    Kept as sorted blocks, each for a stretch of time; older blocks are larger. Searching a large
    block costs about the same as searching a small one, so there are few: a step searches two or
    three, and each hash is merged only a few times, even with small steps.
    """

    limit: int
    blocks: list[pl.Series] = field(default_factory=list)

    def take(self, found: pl.Series) -> pl.Series:
        """`fresh`, then `add`: for many at once, sorting and searching but once."""
        if len(found) < FEW:
            fresh = self.fresh(found)
            self.add(found)
            return fresh
        ordered = found.sort()
        # The youngest block need not be searched where it is merged with what comes: each hash
        # that both have makes one pair more.
        merges = self._takes(ordered)
        young = self.blocks[-1] if merges else ordered.clear()
        others = self.blocks[:-1] if merges else self.blocks
        merged = _merged(young, ordered)
        unseen = _pairs(merged) == _pairs(young) and not _known(others, ordered).any()
        fresh = pl.repeat(True, len(found), eager=True) if unseen else self.fresh(found)
        self.blocks = others
        self._append(merged)
        return fresh

    def fresh(self, found: pl.Series) -> pl.Series:
        """For each hash whether it is new: neither in the window nor earlier in `found`."""
        if len(found) < FEW:
            return found.is_first_distinct() & ~_known(self.blocks, found)
        # Searched in order, neighbours share their way through a block.
        order = found.arg_sort()
        known = _known(self.blocks, found[order])
        return found.is_first_distinct() & ~known[order.arg_sort()]

    @classmethod
    def of(cls, limit: int, pieces: Iterable[pl.Series]) -> "Window":
        """The window that adding `pieces` one after another makes, each sorted once."""
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
        """Takes hashes in and forgets the oldest blocks that the limit no longer needs."""
        if not found.is_empty():
            self._append(found.sort())

    def _append(self, block: pl.Series) -> None:
        while self._takes(block):
            block = _merged(self.blocks.pop(), block)
        self.blocks.append(block)
        while self.blocks and sum(map(len, self.blocks[1:])) >= self.limit:
            del self.blocks[0]

    def _takes(self, block: pl.Series) -> bool:
        """Whether the youngest block is to be merged with one that comes."""
        if not self.blocks:
            return False
        young = len(self.blocks[-1])
        whole = max(1, self.limit // _BLOCKS)
        return young <= _TIER * len(block) and young + len(block) <= whole


def _known(blocks: Sequence[pl.Series], asked: pl.Series) -> pl.Series:
    """For each hash whether one of these blocks has it. One query for all: it costs more than a
    search."""
    column = pl.col("asked")
    found = [
        block.gather(block.search_sorted(column).clip(0, size - 1)) == column
        for block, size in ((pl.lit(block), len(block)) for block in blocks)
        if size
    ]
    known = pl.any_horizontal(pl.lit(False), *found)
    frame = pl.DataFrame([asked.alias("asked")])
    return select(frame, [known.alias("known"), column])["known"]


def _merged(one: pl.Series, other: pl.Series) -> pl.Series:
    """Two sorted series as one."""
    if len(one) + len(other) < FEW:
        return pl.concat([one, other]).sort()
    return one.to_frame("h").merge_sorted(other.to_frame("h"), key="h")["h"]


def _pairs(ordered: pl.Series) -> int:
    """How many of a sorted series equal the one before."""
    return int((ordered[1:] == ordered[:-1]).sum())


def pack(found: pl.Series) -> bytes:
    """Hashes as bytes."""
    return delta.encode(pl.DataFrame([found.alias("h")]))


def packed(data: bytes) -> int:
    """How many hashes `pack` wrote. Raises `CorruptSegment`."""
    rows = delta.height(data)
    return len(unpack(data)) if rows is None else rows


def unpack(data: bytes) -> pl.Series:
    """What `pack` wrote."""
    return delta.decode(data, _PACKED)["h"]
