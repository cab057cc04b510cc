"""What a reading of the archive still wants, and whether a record is the segment of its entry.
Pure.

The manifest is the authority: bytes with the entry's checksum are the segment, whatever the other
headers of the record say. Then the index is made anew from the rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.decode.batch import KafkaRecord, RecordBatch, unpack
from schemas.decode.batch_records import CorruptRecords
from schemas.errors import CorruptSegment
from schemas.records.lifecycle import FailureCode
from schemas.segment.codec import checksum, decode
from schemas.segment.index import SegmentIndex, build, remember
from streams.kafka import stored_format
from streams.kafka.log import Partition
from streams.state.hot_table import ManifestEntry

__all__ = ["ArchiveDamage", "ArchivedSegment", "WantedSegments"]


@dataclass(frozen=True, slots=True)
class ArchivedSegment:
    """A segment whose bytes are those that the manifest names."""

    index: SegmentIndex
    data: bytes

    @property
    def segment(self) -> str:
        """Its id."""
        return self.index.id


@dataclass(frozen=True, slots=True)
class ArchiveDamage:
    """A record of the archive is not the segment that the manifest names."""

    code: FailureCode
    partition: Partition
    offset: int
    segment: str
    what: str

    @property
    def place(self) -> str:
        """Where the record is, or was: `topic[partition]@offset`."""
        return f"{self.partition[0]}[{self.partition[1]}]@{self.offset}"

    def __str__(self) -> str:
        """One line: the place, the segment and what is wrong."""
        return f"{self.place}: segment {self.segment}: {self.what}"


class WantedSegments:
    """The entries of one reading that were not found yet, by offset. True while any is left."""

    def __init__(
        self,
        partition: Partition,
        entries: Mapping[str, ManifestEntry],
        sources: Mapping[str, str],
    ) -> None:
        self._partition = partition
        self._entries = entries
        self._sources = sources
        # the next one last; two entries may name one offset if one of them is wrong
        places = ((entry.offset, name) for name, entry in entries.items())
        self._order = sorted(places, reverse=True)
        self._skipped: list[tuple[int, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def next(self) -> int:
        """The offset that is wanted next."""
        return self._order[-1][0]

    def skipped(self, batch: RecordBatch, code: str, detail: str) -> None:
        """Note a batch that the reader could not open."""
        self._skipped.append((batch.base_offset, batch.last_offset, f"{code}: {detail:.200}"))

    def of_batch(
        self, batch: RecordBatch, doubtful: bool = False
    ) -> list[ArchivedSegment | ArchiveDamage]:
        """What a batch has of the wanted segments, and the damage of those that it should have.

        With `doubtful` the batch may have a wrong checksum: nothing but the bytes of the segments
        is believed. Blocks.
        """
        return list(self._of_batch(batch, doubtful))

    def _of_batch(
        self, batch: RecordBatch, doubtful: bool
    ) -> Iterator[ArchivedSegment | ArchiveDamage]:
        try:
            records = unpack(batch)
        except CorruptRecords as error:
            self.skipped(batch, error.code, error.detail)
            records = []
        for record in records:
            yield from self.passed(record.offset)
            while self._order and self.next == record.offset:
                yield self._checked(record, self._order.pop()[1], doubtful)
            if not self._order:
                return
        yield from self.passed(batch.next_offset)

    def passed(self, offset: int) -> list[ArchiveDamage]:
        """The damage of those below `offset`, which the reading has passed."""
        found = []
        while self._order and self.next < offset:
            found.append(self._passed(*self._order.pop()))
        return found

    def _passed(self, offset: int, name: str) -> ArchiveDamage:
        for first, last, why in self._skipped:
            if first <= offset <= last:
                what = f"its batch cannot be opened ({why})"
                return self._damage(FailureCode.ARCHIVE_DAMAGED, offset, name, what)
        return self._damage(FailureCode.ARCHIVE_MISSING, offset, name, "the record is gone")

    def outside(self, first: int) -> list[ArchiveDamage]:
        """The damage of those that a log from `first` on does not have, of which the next one is
        one: those below `first`, or else all, because the log ends before the next one.
        """
        gone = [one for one in self._order if one[0] < first] or self._order
        what = f"the record is gone: the log begins at {first}"
        if gone is self._order:
            what = "the record is gone: the log ends before it"
        self._order = self._order[: len(self._order) - len(gone)]
        return [self._damage(FailureCode.ARCHIVE_MISSING, *one, what) for one in reversed(gone)]

    def unreadable(self, what: str) -> ArchiveDamage:
        """The damage of the next one, which cannot be read."""
        return self._damage(FailureCode.ARCHIVE_DAMAGED, *self._order.pop(), what)

    def _damage(self, code: FailureCode, offset: int, name: str, what: str) -> ArchiveDamage:
        return ArchiveDamage(code, self._partition, offset, name, what)

    def _checked(
        self, record: KafkaRecord, name: str, doubtful: bool
    ) -> ArchivedSegment | ArchiveDamage:
        stored_format.check(*self._partition, [record])
        entry, data = self._entries[name], record.value or b""
        headers = dict(record.headers)
        # what is read back is compared in full: hot data is dropped on its word
        same = checksum(data) == entry.checksum
        if headers.get("segment") != name.encode() and not (same and doubtful):
            code, what = FailureCode.ARCHIVE_FOREIGN, "another record is there"
            return self._damage(code, record.offset, name, what)
        if not same:
            what = f"its {len(data)} bytes do not have the checksum {entry.checksum}"
            return self._damage(FailureCode.ARCHIVE_DAMAGED, record.offset, name, what)
        index = None if doubtful else _index(headers.get("index"))
        if index is None or not self._agrees(index, name, entry):
            try:
                index = build(name, 0, decode(data), data)
            except (CorruptSegment, ValueError) as error:
                what = f"it cannot be decoded ({error})"
                return self._damage(FailureCode.ARCHIVE_DAMAGED, record.offset, name, what)
        if not self._agrees(index, name, entry):
            what = f"it has {index.rows} rows of {', '.join(index.sources)[:200]}"
            return self._damage(FailureCode.ARCHIVE_FOREIGN, record.offset, name, what)
        remember(index, data)
        return ArchivedSegment(index, data)

    def _agrees(self, index: SegmentIndex, name: str, entry: ManifestEntry) -> bool:
        """Whether an index is that of an entry."""
        source = self._sources.get(name) or next(iter(index.sources), "")
        return (
            (index.id, index.checksum, index.rows) == (name, entry.checksum, entry.rows)
            and index.bytes == entry.bytes
            and dict(index.sources) == {source: entry.rows}
            and index.low[0] == index.high[0] == source
        )


def _index(data: bytes | None) -> SegmentIndex | None:
    """The index in a header, or None if it is none."""
    try:
        return SegmentIndex.from_json(data or b"")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
