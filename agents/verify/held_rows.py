"""The rows that shards hold, hot and archived, for a comparison row by row.

Which segments and deltas count is known only at the end of a changelog. Until then their bytes lie
on disk, one file for each key.
"""

from pathlib import Path

import polars as pl

from agents.verify.row_spill import RowSpill
from agents.verify.shard_image import ShardImage
from schemas.segment.codec import decode
from schemas.tables import delta
from schemas.tables.erased import NO_MASK, ErasureKey, Mask
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import PROFILE
from streams.state import keys

__all__ = ["HELD", "HeldRows"]

HELD = "held"
_KINDS = (b"s", b"d")


class HeldRows:
    """Blocks: call it in threads. `key` tells erased users; without it there must be none."""

    def __init__(self, folder: Path, spill: RowSpill, key: ErasureKey | None) -> None:
        self._folder = folder
        self._spill = spill
        self._key = key
        self.masks: dict[int, Mask] = {}
        """By shard."""

    def put(self, key: bytes, value: bytes | None) -> None:
        """Note an entry of a changelog; None deletes it."""
        if keys.kind(key) not in _KINDS:
            return
        file = self._folder / key.hex()
        if value is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(value)

    def pour(self, image: ShardImage) -> None:
        """Take the rows of a shard that are hot at its moment."""
        mask = Mask(self._key).changed(image.erased) if image.erased and self._key else NO_MASK
        self.masks[image.partition] = mask
        for file in sorted(self._folder.iterdir()):
            key = bytes.fromhex(file.name)
            value = image.values.get(key)
            if value is not None and value.fault is None:
                self.add(image.partition, self._rows(image, key, file.read_bytes()))
            file.unlink()

    def add(self, partition: int, rows: pl.DataFrame | None) -> None:
        """Take rows of a shard, of deltas and segments."""
        if rows is not None:
            sourced = rows.filter(pl.col("source") != PROFILE)
            self._spill.add(HELD, self.masks[partition].rows(sourced))

    def _rows(self, image: ShardImage, key: bytes, data: bytes) -> pl.DataFrame | None:
        if keys.kind(key) == b"d":
            return delta.decode(data, SCHEMA)
        index, facts = image.indexes.get(keys.name(key)), image.segments.get(keys.name(key))
        # what has another checksum, or cannot be decoded, has a finding
        whole = index is not None and facts is not None and facts.checksum == index.checksum
        return decode(data) if whole and facts is not None and facts.fault is None else None
