"""Archived segments without the rows of erased users: the records and entries that replace them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import polars as pl

from agents.shard.jobs.context import ShardContext
from schemas.segment.index import SegmentIndex
from schemas.tables.erased import Mask
from streams.kafka.log import Record
from streams.state import archive, keys
from streams.state.hot_table import HotTable, ManifestEntry
from streams.state.store import Put, Step

__all__ = ["Archived", "counted", "without_hidden"]


class Archived:
    """What one step appends to the archive, and the entries of the manifest that change with it."""

    def __init__(self, context: ShardContext) -> None:
        self._context = context
        self._appends: list[Record] = []
        self._made: list[tuple[str, SegmentIndex, ManifestEntry]] = []
        self._puts: list[Put] = []
        self._dead = 0

    def replace(self, index: SegmentIndex, puts: Sequence[Put]) -> None:
        """In place of an archived segment come the segments of `puts`, which may be none."""
        source, former = self._former(index)
        values = dict(puts)
        for key, value in puts:
            if keys.kind(key) == b"i" and value is not None:
                fresh = SegmentIndex.from_json(value)
                data = values[keys.segment(fresh.id)] or b""
                entry = replace(former, masked=self._context.store.table.mask.generation)
                self._append(source, fresh, data, entry, index.id)
        self._puts.append((keys.manifest_entry(source, index.id), None))
        self._dead = max(self._dead, former.offset + 1)

    def keep(self, index: SegmentIndex) -> None:
        """The segment has no row of an erased user: only its entry changes."""
        source, former = self._former(index)
        entry = replace(former, masked=self._context.store.table.mask.generation)
        self._puts.append((keys.manifest_entry(source, index.id), entry.to_json()))

    def move(self, index: SegmentIndex, data: bytes) -> None:
        """The same segment comes to the archive's end."""
        source, former = self._former(index)
        self._append(source, index, data, former, "")

    def join(self, step: Step) -> None:
        """Put all of it into a step."""
        step.puts += self._puts
        step.appends += self._appends
        marks = self._context.store.table.erasure_marks
        if self._dead and marks is not None:
            step.puts.append(replace(marks, dead=max(marks.dead, self._dead)).put())
        if self._made:
            step.manifest_of = self._placed

    def _former(self, index: SegmentIndex) -> tuple[str, ManifestEntry]:
        (source,) = index.sources
        return source, self._context.store.table.manifest[source][index.id]

    def _append(
        self, source: str, index: SegmentIndex, data: bytes, entry: ManifestEntry, replaces: str
    ) -> None:
        context = self._context
        record = archive.append(
            context.settings, context.partition, index, data, entry.epoch, replaces
        )
        self._appends.append(record)
        self._made.append((source, index, entry))

    def _placed(self, offsets: list[int]) -> list[Put]:
        return [
            (
                keys.manifest_entry(source, index.id),
                ManifestEntry(
                    offset, index.rows, index.bytes, index.checksum, entry.epoch, entry.masked
                ).to_json(),
            )
            for (source, index, entry), offset in zip(self._made, offsets, strict=True)
        ]


def without_hidden(mask: Mask, rows: pl.DataFrame, held: Iterable[str]) -> pl.DataFrame:
    """The rows without hidden ones, except those of `held` sources, which stay."""
    names = list(held)
    if not names:
        return mask.rows(rows)
    kept = pl.col("source").is_in(names)
    return pl.concat([rows.filter(kept), mask.rows(rows.filter(~kept))])


def counted(table: HotTable, *, rows: int = 0, archived: int = 0) -> list[Put]:
    """The open requests, each with the numbers of rows that a step removes for all of them."""
    return [
        replace(work, rows=work.rows + rows, archived=work.archived + archived).put(request_id)
        for request_id, work in table.erasures.items()
        if work.users
    ]
