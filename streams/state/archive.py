"""The archive: segments of expired sources, kept for ever, one record for each segment.

The headers of a record contain everything that is needed to rebuild the manifest by a scan: segment
id, source, epoch, rows, partition count, checksum, the segments that it replaces, and the index.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from schemas.decode.batch_records import RecordBatch
from schemas.errors import Recoverable
from schemas.segment.index import SegmentIndex
from streams.kafka.log import (
    SILENCE_S,
    Log,
    LogReader,
    LostRange,
    Partition,
    ReaderOptions,
    Record,
)
from streams.kafka.stored_format import STAMP
from streams.kafka.topics import Topics
from streams.period import seconds
from streams.settings import Settings
from streams.state.archive_check import ArchiveDamage, ArchivedSegment, WantedSegments
from streams.state.hot_table import ManifestEntry

__all__ = ["ArchiveDamage", "ArchiveReader", "ArchiveSilent", "ArchivedSegment", "append"]

#: A gap between wanted records larger than this many offsets is jumped over.
_JUMP = 16
#: A broker that answers, and hands over nothing for so long where the log has a record, has a
#: batch that cannot be read...
_LOOK_S = 5.0
#: ... and so long for further ones after that: there may be many.
_LOOK_AGAIN_S = 0.5
#: A broker that was heard within this time answers.
_ANSWERS_S = 2.0


class ArchiveSilent(Recoverable):
    """The archive could not be read in time: no broker answers for its partition."""

    def __init__(self, partition: Partition, offset: int, silence_s: float) -> None:
        self.place = f"{partition[0]}[{partition[1]}]@{offset}"
        super().__init__(
            f"{self.place}: the archive could not be read for {silence_s:.0f} s",
            remedy="Check that the brokers run, and that this partition has a leader",
        )


class _Unreadable(Exception):
    """The broker answers, and hands over nothing of a record that the log has."""


def append(
    settings: Settings,
    partition: int,
    index: SegmentIndex,
    data: bytes,
    epoch: int,
    replaces: str = "",
) -> Record:
    """The archive record of a segment that holds one source; `replaces` is the id of the archived
    segment whose rows it has, without those of erased users.
    """
    (source,) = index.sources
    headers = {
        "segment": index.id,
        "source": source,
        "epoch": str(epoch),
        "rows": str(index.rows),
        "partitions": str(settings.partitions),
        "checksum": index.checksum,
        "replaces": replaces,
    }
    return Record(
        Topics(settings.prefix).archive,
        source.encode(),
        data,
        partition,
        (
            *STAMP,
            *((name, value.encode()) for name, value in headers.items()),
            ("index", index.to_json()),
        ),
    )


class ArchiveReader:
    """Reads the archive of one partition; one task may read at a time.

    It stays connected from one reading to the next: to connect takes longer than to read a small
    source. `silence_s`: the deadline of a reading in which nothing moves; at most the setting
    `shard_deadline`.
    """

    def __init__(
        self,
        settings: Settings,
        kafka: Log,
        partition: int,
        *,
        silence_s: float = SILENCE_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self._kafka = kafka
        self._partition = (Topics(settings.prefix).archive, partition)
        self._silence_s = min(silence_s, seconds(settings.shard_deadline))
        self._look_s = min(look_s, self._silence_s)
        self._idle: LogReader | None = None
        self._wanted: WantedSegments | None = None

    async def read(
        self, entries: Mapping[str, ManifestEntry], sources: Mapping[str, str] | None = None
    ) -> AsyncGenerator[ArchivedSegment | ArchiveDamage, None]:
        """Each of `entries` (segment id -> entry) once, in the order of their offsets: the segment,
        verified, or the damage of its record. `sources` gives the source of each segment.

        A damaged record affects no other. Raises `ArchiveSilent` if nothing moves for the deadline.
        To be closed (`aclose`) where it is not read to its end.
        """
        wanted = self._wanted = WantedSegments(self._partition, entries, sources or {})
        if not wanted:
            return
        reader, self._idle = self._idle, None
        if reader is not None:
            reader.seek(self._partition, wanted.next)
        complete = doubtful = False
        look_s = self._look_s
        try:
            while wanted:
                if reader is None:
                    reader = self._reader(wanted.next, checked=not doubtful)
                    await self._start(reader, wanted.next)
                try:
                    batches = await self._progress(reader, wanted.next, look_s)
                except LostRange:
                    for damage in wanted.outside(await self._first(wanted.next)):
                        yield damage
                    await reader.close()
                    reader = None
                    continue
                except _Unreadable:
                    if doubtful:
                        look_s = min(look_s, _LOOK_AGAIN_S)
                        yield wanted.unreadable("the broker has it, and it cannot be read")
                    doubtful = True
                    await reader.close()
                    reader = None
                    continue
                for batch in batches:
                    found = await asyncio.to_thread(wanted.of_batch, batch, doubtful)
                    for number, one in enumerate(found, 1):
                        complete = not (wanted or doubtful) and number == len(found)
                        yield one
                for damage in wanted.passed(reader.position(self._partition)):
                    yield damage
                if wanted and wanted.next - reader.position(self._partition) > _JUMP:
                    reader.seek(self._partition, wanted.next)
        finally:
            # after an error, or a reading that ended early, the next one begins with a new reader
            if complete:
                self._idle = reader
            elif reader is not None:
                await reader.close()

    async def close(self) -> None:
        """Closes the connections; a later reading connects again."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.close()

    def _reader(self, offset: int, *, checked: bool) -> LogReader:
        """A new reader. Unless `checked`, batches with a wrong checksum are handed over too: the
        bytes of each segment are compared anyway.
        """
        options = ReaderOptions(
            name=f"archive-{self._partition[1]}", check_crc=checked, unreadable=self._skipped
        )
        return self._kafka.reader({self._partition: offset}, options)

    async def _start(self, reader: LogReader, offset: int) -> None:
        try:
            await reader.start()
        except Recoverable as error:
            raise self._silent(offset) from error

    def _skipped(self, batch: RecordBatch, code: str, detail: str) -> None:
        if self._wanted is not None:
            self._wanted.skipped(batch, code, detail)

    async def _progress(self, reader: LogReader, offset: int, look_s: float) -> list[RecordBatch]:
        """The next batches. Raises `LostRange`, `_Unreadable`, and `ArchiveSilent` after the
        deadline.
        """
        waited_s = 0.0
        while True:
            try:
                return await reader.progress(look_s)
            except Recoverable:
                waited_s += look_s
            answers = reader.silent_s() < _ANSWERS_S
            if answers and offset < (await self._bounds(offset))[1]:
                raise _Unreadable
            if waited_s >= self._silence_s:
                if answers and not reader.lag({self._partition: offset})[self._partition]:
                    raise LostRange(self._partition, offset)  # it is the log's end
                raise self._silent(offset)

    async def _first(self, offset: int) -> int:
        first, _ = await self._bounds(offset)
        return first

    async def _bounds(self, offset: int) -> tuple[int, int]:
        """The first and the last stable offset: markers that are in flight are not in it."""
        try:
            return (await self._kafka.admin.bounds([self._partition]))[self._partition]
        except Recoverable as error:
            raise self._silent(offset) from error

    def _silent(self, offset: int) -> ArchiveSilent:
        return ArchiveSilent(self._partition, offset, self._silence_s)
