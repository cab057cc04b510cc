"""The window of event ids seen lately, so that a repeated event is not counted twice.

Ids are kept as 64-bit hashes: among a million of them a new id is taken for a repeat with a
chance of one in 18 million million.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

__all__ = ["Window", "hashes", "joined", "pack", "unpack"]

_SEED = 0x656D6265726C696E


def hashes(ids: pl.Series) -> pl.Series:
    """UInt64 hashes of ids, the same in every process."""
    return ids.hash(seed=_SEED)


@dataclass
class Window:
    """The hashes of the last events, in the order in which they came; at most about `limit`."""

    limit: int
    blocks: list[pl.Series] = field(default_factory=list)

    def fresh(self, found: pl.Series) -> pl.Series:
        """For each hash whether it stands neither in the window nor before in `found`."""
        wanted = found.implode()
        # A hash table over the few new ones, probed with the many old ones, not the reverse.
        known = joined(block.filter(block.is_in(wanted)) for block in self.blocks)
        return found.is_first_distinct() & ~found.is_in(known.implode())

    def add(self, found: pl.Series) -> None:
        """Takes hashes in and forgets the oldest blocks that the limit no longer needs."""
        self.blocks.append(found)
        while self.blocks and sum(map(len, self.blocks[1:])) >= self.limit:
            del self.blocks[0]


def pack(found: pl.Series) -> bytes:
    """Hashes as bytes."""
    buffer = io.BytesIO()
    pl.DataFrame({"h": found}).write_ipc(buffer)
    return buffer.getvalue()


def unpack(data: bytes) -> pl.Series:
    """What `pack` wrote."""
    return pl.read_ipc(io.BytesIO(data))["h"]


def joined(parts: Iterable[pl.Series]) -> pl.Series:
    """Several series of hashes as one."""
    return pl.concat([pl.Series("h", [], dtype=pl.UInt64), *(part.alias("h") for part in parts)])
