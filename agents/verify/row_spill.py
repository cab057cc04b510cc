"""Rows on disk, in buckets by user, so that large sets are compared one bucket at a time."""

from collections import defaultdict
from pathlib import Path

import polars as pl

from schemas.tables.stable_hash import stable_hash

__all__ = ["RowSpill"]

_WAITING_ROWS = 500_000
_ROWS_A_BUCKET = 150_000
_MOST_BUCKETS = 512


class RowSpill:
    """Frames by side (any word), written below `folder`. One thread at a time."""

    def __init__(self, folder: Path, rows: int) -> None:
        """`rows`: about how many there will be."""
        self.buckets = max(1, min(_MOST_BUCKETS, -(-rows // _ROWS_A_BUCKET)))
        self._folder = folder
        self._waiting: dict[str, list[pl.DataFrame]] = defaultdict(list)
        self._rows: dict[str, int] = defaultdict(int)
        self._files: dict[tuple[str, int], list[Path]] = defaultdict(list)

    def add(self, side: str, frame: pl.DataFrame) -> None:
        """Add rows; they have a column `user`, without nulls."""
        if not frame.height:
            return
        self._waiting[side].append(frame)
        self._rows[side] += frame.height
        if self._rows[side] >= _WAITING_ROWS:
            self._write(side)

    def bucket(self, side: str, number: int) -> pl.DataFrame | None:
        """All rows of a bucket; None if there are none."""
        if self._waiting[side]:
            self._write(side)
        files = self._files.get((side, number), [])
        return pl.concat([pl.read_parquet(file) for file in files]) if files else None

    def _write(self, side: str) -> None:
        frame = pl.concat(self._waiting.pop(side))
        self._rows[side] = 0
        number = (stable_hash(frame["user"]) % self.buckets).alias("bucket")
        for (bucket,), part in (
            frame.with_columns(number)
            .partition_by("bucket", as_dict=True, include_key=False)
            .items()
        ):
            files = self._files[side, int(bucket)]
            file = self._folder / f"{side}-{bucket}-{len(files)}.parquet"
            part.write_parquet(file, compression="lz4", statistics=False)
            files.append(file)
