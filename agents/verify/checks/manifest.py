"""The manifest against the archive: every entry has its record, every record its entry.

The archive is read once, in order: `take` compares a record, `rest` names what never came.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from agents.verify.archived_record import ArchivedRecord, read_archived
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from schemas.decode.batch_records import KafkaRecord
from streams.state.hot_table import ManifestEntry

__all__ = ["ManifestCheck", "RowsTo"]

RowsTo = Callable[[int, pl.DataFrame | None], None]
"""Takes the rows of a segment that counts, and its shard."""

_COPIED_AGAIN = (
    "Its rows are hot: the next expiry of the source copies them to the archive again, and no "
    "backup is needed"
)


@dataclass
class ManifestCheck:
    """One shard. Records at `pinned` and beyond are newer than the manifest: they need no entry.
    Nor do former copies of a segment that was moved or replaced, nor what lies below `dead` until
    it is deleted, because its users were erased.

    `unlisted` are the records without an entry, by segment id. `mends` are the entries that whole
    records of the archive give and the manifest does not have, by source and segment id.
    """

    topic: str
    partition: int
    partitions: int
    manifest: Mapping[tuple[str, str], ManifestEntry]
    pinned: int
    dead: int = 0
    rows_to: RowsTo | None = None
    hot: Collection[str] = ()
    """Ids of segments that are hot whole: their archived records are not the only copies."""
    records: int = 0
    bytes: int = 0
    rows: int = 0
    dead_copies: int = 0
    dead_bytes: int = 0
    """Of records that count no more: former copies of segments, until they are deleted."""
    aborted: int = 0
    """Offsets that records of aborted steps took: their bytes stay as long as the log does."""
    unlisted: dict[str, ArchivedRecord] = field(default_factory=dict)
    mends: dict[tuple[str, str], ManifestEntry] = field(default_factory=dict)
    _right: set[tuple[str, str]] = field(default_factory=set)
    _next: int | None = None
    _wanted: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    _replaced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, entry in self.manifest.items():
            self._wanted.setdefault(entry.offset, []).append(name)

    @property
    def missing(self) -> Iterable[int]:
        """The offsets that entries name, of records that did not come yet."""
        return self._wanted.keys()

    @property
    def end(self) -> int:
        """The offset behind the last record that an entry names."""
        return max(self._wanted, default=-1) + 1

    def took(self, first: int, last: int) -> None:
        """Records at [first, last] came. Before them lie markers, and records of aborted steps: of
        each gap, one offset is the marker of the records before it.
        """
        if self._next is not None:
            self.aborted += max(0, first - self._next - 1)
        self._next = last + 1

    def take(self, record: KafkaRecord) -> Iterator[Finding]:
        """Compare one record. Decodes it: call it in a thread."""
        listed = self._wanted.pop(record.offset, [])
        expected = [self.manifest[name].checksum for name in listed]
        where = Where(self.topic, self.partition, record.offset)
        try:
            archived, rows = read_archived(record, expected, self.partition, self.partitions)
        except ValueError as error:
            for source, segment in listed:
                named = Where(self.topic, self.partition, record.offset, source, segment)
                yield found(FindingKind.ARCHIVE_OTHER, named, f"the entry's record: {error}")
            if not listed:
                yield found(FindingKind.ARCHIVE_FOREIGN, where, str(error))
            return
        self.records += 1
        self.bytes += archived.facts.bytes
        self.rows += archived.facts.rows
        self._replaced.update(archived.replaces)
        faults = list(self._itself(archived))
        yield from faults
        if listed and not faults and self.rows_to is not None:
            self.rows_to(self.partition, rows)
        if not faults and self.dead <= record.offset < self.pinned:
            self._mend(archived)
        for source, segment in listed:
            yield from self._against(archived, source, segment)
        if not listed and record.offset < self.dead:
            self._died(archived)
        if not listed and self.dead <= record.offset < self.pinned:
            self.unlisted[archived.segment] = archived

    def unreadable(self, first: int, end: int, why: str) -> Iterator[Finding]:
        """The entries whose records lie at offsets [first, end) that cannot be read."""
        for offset in sorted(offset for offset in self._wanted if first <= offset < end):
            for source, segment in self._wanted.pop(offset):
                where = Where(self.topic, self.partition, offset, source, segment)
                what = f"its record cannot be read: {why}"
                yield found(FindingKind.ARCHIVE_DAMAGED, where, what, self._remedy(segment))

    def rest(self) -> Iterator[Finding]:
        """What is missing, once the archive has been read up to `end` and `pinned`."""
        for name in [name for name in self.mends if name[1] in self._replaced]:
            del self.mends[name]
        for offset, names in sorted(self._wanted.items()):
            for source, segment in names:
                moved = self.unlisted.get(segment)
                what = "the archive has no record there"
                if moved is not None:
                    what += f"; it has this segment at offset {moved.offset}"
                where = Where(self.topic, self.partition, offset, source, segment)
                yield found(FindingKind.ARCHIVE_MISSING, where, what, self._remedy(segment))
        for archived in self.unlisted.values():
            name = archived.source, archived.segment
            if archived.segment in self._replaced or name in self._right:
                self._died(archived)
            else:
                where = self._where(archived)
                what = f"{archived.rows} rows lie in the archive and no manifest entry names them"
                yield found(FindingKind.ARCHIVE_UNLISTED, where, what)

    def _remedy(self, segment: str) -> str:
        """Better than a backup, if there is one; else that of the kind."""
        return _COPIED_AGAIN if segment in self.hot else ""

    def _died(self, archived: ArchivedRecord) -> None:
        self.dead_copies += 1
        self.dead_bytes += archived.facts.bytes

    def _mend(self, archived: ArchivedRecord) -> None:
        name = archived.source, archived.segment
        former = self.manifest.get(name)
        entry = ManifestEntry(
            archived.offset,
            archived.rows,
            archived.facts.bytes,
            archived.checksum,
            archived.epoch,
            0 if former is None else former.masked,
        )
        if former == entry:
            self._right.add(name)
            self.mends.pop(name, None)
        elif name not in self._right:
            self.mends[name] = entry

    def _itself(self, archived: ArchivedRecord) -> Iterator[Finding]:
        """A record against its own headers."""
        where, facts = self._where(archived), archived.facts
        if facts.checksum not in (archived.checksum, archived.index.checksum):
            what = f"its bytes have checksum {facts.checksum}, its headers say {archived.checksum}"
            yield found(FindingKind.ARCHIVE_DAMAGED, where, what, self._remedy(archived.segment))
            return
        wrong = [] if facts.fault is None else [facts.fault]
        if facts.fault is None:
            wrong += facts.differences(archived.index)
        if (archived.segment, archived.checksum) != (archived.index.id, archived.index.checksum):
            wrong.append("its headers and its index name two segments")
        if archived.rows != facts.rows and facts.fault is None:
            wrong.append(f"rows: the header says {archived.rows}, there are {facts.rows}")
        if facts.sources and list(facts.sources) != [archived.source]:
            wrong.append(f"it holds rows of {', '.join(sorted(facts.sources)):.120}")
        if facts.misplaced:
            wrong.append(f"{facts.misplaced} rows are of users of other shards")
        if archived.partitions != self.partitions:
            wrong.append(f"it was written with {archived.partitions} partitions")
        for what in wrong:
            yield found(FindingKind.ARCHIVE_ROWS, where, what)

    def _against(self, archived: ArchivedRecord, source: str, segment: str) -> Iterator[Finding]:
        """A record against the manifest entry of `segment`."""
        entry = self.manifest[source, segment]
        where = Where(self.topic, self.partition, archived.offset, source, segment)
        if (archived.source, archived.segment) != (source, segment):
            what = f"the entry's record is segment {archived.segment} of {archived.source}"
            yield found(FindingKind.ARCHIVE_OTHER, where, what)
            return
        pairs = (
            ("checksum", entry.checksum, archived.checksum),
            ("rows", entry.rows, archived.rows),
            ("bytes", entry.bytes, archived.facts.bytes),
            ("epoch", entry.epoch, archived.epoch),
        )
        wrong = [
            f"{name} {said}, the record {is_so}" for name, said, is_so in pairs if said != is_so
        ]
        if wrong:
            what = f"the entry says {'; '.join(wrong)}"
            yield found(FindingKind.ARCHIVE_OTHER, where, what)

    def _where(self, archived: ArchivedRecord) -> Where:
        return Where(self.topic, self.partition, archived.offset, archived.source, archived.segment)
