"""The indexes by user of a data folder, each beside the hot segments of its shard.

The index is copied before the changelog is read, so every segment that it knows is in what is read
then, unless it was replaced. Rows lie in buckets on disk while they are compared.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from agents.verify.checks.user_index import check_index
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.log_scan import LogScan, LogStuck
from agents.verify.report import VerifyReport
from agents.verify.row_spill import RowSpill
from agents.verify.shard_image import ShardImage
from agents.verify.shards import PinnedImage
from schemas.decode.batch_records import KafkaRecord
from schemas.errors import Fatal
from schemas.segment.codec import decode
from schemas.tables.erased import NO_MASK, Mask
from streams.erasure_key import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.state import keys
from streams.state.store_copy import StoreUnreadable
from streams.user_index.index_copy import IndexCopy

__all__ = ["LocalIndex"]

_TABLE, _INDEX = "table", "index"


class LocalIndex:
    """The index of one shard. `open` before its changelog is read, `compare` then, `close` last."""

    def __init__(self, environment: Environment, shard: int, report: VerifyReport) -> None:
        self._environment = environment
        self._settings = environment.settings
        self._log = Topics(environment.settings.prefix).changelog, shard
        self._report = report
        self._folder = Path(environment.settings.data_dir) / f"users-{shard}"
        self._copy: IndexCopy | None = None
        self._damage: list[Finding] = []

    async def open(self) -> None:
        """Make a copy of the index, if there is one."""
        if not (self._folder / "CURRENT").exists():
            return
        try:
            self._copy = await asyncio.to_thread(IndexCopy(self._folder).__enter__)
        except StoreUnreadable as error:
            self._damaged(error)

    async def compare(self, pinned: PinnedImage, whole: Collection[str]) -> list[Finding]:
        """Compare it with the hot segments of the image; `whole` are the sources that are visible,
        so all of their rows are hot.
        """
        copy, image = self._copy, pinned.image
        if copy is None or copy.identity is None:
            return self._damage  # nothing was written to the disk yet, or in another format
        origin = image.origin
        if origin is None or origin.incarnation != copy.identity:
            self._unchecked("it belongs to another changelog, and a worker builds it anew")
            return []
        mask = await asyncio.to_thread(self._mask, image)
        if mask is None:
            return []
        with TemporaryDirectory(prefix="emberline-verify-") as folder:
            rows = sum(image.segments[name].rows for name in image.whole_segments())
            spill = RowSpill(Path(folder), rows)
            try:
                await asyncio.to_thread(_pour_index, copy, mask, spill)
            except StoreUnreadable as error:
                self._damaged(error)
                return self._damage
            try:
                await self._pour_table(pinned, mask, spill, copy.covered)
            except LogStuck as error:
                self._unchecked("the changelog cannot be read again")
                return [error.finding()]
            where = Where(*self._log, key=str(self._folder))
            found_ = await asyncio.to_thread(_compared, spill, where, whole)
        self._report.figures.update(local_indexes=1, indexed_rows=sum(r.rows for r in copy.runs))
        return found_

    async def close(self) -> None:
        """Remove the copy."""
        copy, self._copy = self._copy, None
        if copy is not None:
            await asyncio.to_thread(copy.__exit__, None, None, None)

    async def _pour_table(
        self, pinned: PinnedImage, mask: Mask, spill: RowSpill, covered: Collection[str]
    ) -> None:
        image, whole = pinned.image, pinned.image.whole_segments()

        def take(records: Sequence[KafkaRecord]) -> None:
            for record in records:
                value = image.values.get(record.key or b"")
                if value is None or value.offset != record.offset or value.fault is not None:
                    continue
                if keys.kind(record.key or b"") != b"s":
                    continue
                name = keys.name(record.key or b"")
                # what has another checksum, or cannot be decoded, has a finding
                if name in whole and image.segments[name].fault is None:
                    rows = _without_erased(mask, decode(record.value or b""))
                    spill.add(_TABLE, rows.with_columns(covered=pl.lit(name in covered)))

        start, _ = (await self._environment.kafka.admin.bounds([self._log]))[self._log]
        async with LogScan(self._environment, self._log, start) as scan:
            async for batch in scan.until(pinned.offset):
                await asyncio.to_thread(take, batch.records)

    def _mask(self, image: ShardImage) -> Mask | None:
        """Who was erased; None if that cannot be told."""
        if not image.erased:
            return NO_MASK
        key = None
        with suppress(Fatal):
            key = erasure_key(self._settings)
        if key is None or image.erasure_marks is None or image.erasure_marks.key != key.id:
            self._unchecked("users were erased, and the key under which is not here")
            return None
        return Mask(key).changed(image.erased)

    def _damaged(self, error: StoreUnreadable) -> None:
        where = Where(*self._log, key=str(self._folder))
        self._damage = [found(FindingKind.INDEX_DAMAGED, where, error.message)]

    def _unchecked(self, why: str) -> None:
        self._report.unchecked.append(f"the index {self._folder}: {why}")


def _pour_index(copy: IndexCopy, mask: Mask, spill: RowSpill) -> None:
    for _, rows in copy.rows():
        spill.add(_INDEX, _without_erased(mask, rows))


def _compared(spill: RowSpill, where: Where, whole: Collection[str]) -> list[Finding]:
    def every() -> Iterator[Finding]:
        for number in range(spill.buckets):
            yield from check_index(
                where, spill.bucket(_TABLE, number), spill.bucket(_INDEX, number), whole
            )

    return list(every())


def _without_erased(mask: Mask, rows: pl.DataFrame) -> pl.DataFrame:
    """Without all rows of users who were ever erased: the proof of absence looks at those."""
    among = mask.among(rows["user"])
    return rows.filter(~pl.col("user").is_in(list(among))) if among else rows
