"""The archive: segments of expired sources, kept for ever, one record for each segment.

The headers of a record contain everything that is needed to rebuild the manifest by a scan: segment
id, source, epoch, rows, partition count, checksum, the segments that it replaces, and the index.
"""

from collections.abc import AsyncGenerator, Mapping

from schemas.decode.batch import KafkaRecord
from schemas.errors import Fatal
from schemas.segment.codec import checksum
from schemas.segment.index import SegmentIndex, remember
from streams.kafka.foreign_records import whole_records_of
from streams.kafka.log import Log, LogReader, Partition, ReaderOptions, Record
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state.hot_table import ManifestEntry

__all__ = ["ArchiveMismatch", "ArchiveReader", "append"]

#: A gap between wanted records larger than this many offsets is jumped over.
_JUMP = 16


class ArchiveMismatch(Fatal):
    """An archived record is not the segment that the manifest names."""


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
        (*((name, value.encode()) for name, value in headers.items()), ("index", index.to_json())),
    )


class ArchiveReader:
    """Reads the archive of one partition; one task may read at a time.

    It stays connected from one reading to the next: to connect takes longer than to read a small
    source.
    """

    def __init__(self, settings: Settings, kafka: Log, partition: int) -> None:
        self._kafka = kafka
        self._partition = (Topics(settings.prefix).archive, partition)
        self._idle: LogReader | None = None

    async def read(
        self, entries: Mapping[str, ManifestEntry]
    ) -> AsyncGenerator[tuple[SegmentIndex, bytes], None]:
        """The segments at `entries` (segment id -> entry), verified, in the order of their offsets.

        Raises `ArchiveMismatch` if a record is missing or its id or checksum differs, `Recoverable`
        if the broker returns nothing for 30 s. To be closed (`aclose`) where it is not read to its
        end.
        """
        wanted = {entry.offset: (segment_id, entry) for segment_id, entry in entries.items()}
        order = sorted(wanted, reverse=True)
        if not order:
            return
        reader = await self._positioned(order[-1])
        complete = False
        try:
            while order:
                batches = await reader.progress()
                for record in (record for batch in batches for record in whole_records_of(batch)):
                    if order and record.offset > order[-1]:
                        raise _mismatch(self._partition, order[-1], *wanted[order[-1]], "is gone")
                    if order and record.offset == order[-1]:
                        segment = _checked(self._partition, record, *wanted[order.pop()])
                        complete = not order
                        yield segment
                if order and order[-1] - reader.position(self._partition) > _JUMP:
                    reader.seek(self._partition, order[-1])
        finally:
            # after an error, or a reading that ended early, the next one begins with a new reader
            if complete:
                self._idle = reader
            else:
                await reader.close()

    async def close(self) -> None:
        """Closes the connections; a later reading connects again."""
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.close()

    async def _positioned(self, offset: int) -> LogReader:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.seek(self._partition, offset)
            return idle
        name = f"archive-{self._partition[1]}"
        reader = self._kafka.reader({self._partition: offset}, ReaderOptions(name=name))
        await reader.start()
        return reader


def _checked(
    partition: Partition, record: KafkaRecord, segment_id: str, entry: ManifestEntry
) -> tuple[SegmentIndex, bytes]:
    """The segment of a record. Raises `ArchiveMismatch` if it is not the one of the entry."""
    headers = dict(record.headers)
    data = record.value or b""
    # what is read back is compared in full: hot data is dropped on its word
    if headers.get("segment") != segment_id.encode() or checksum(data) != entry.checksum:
        raise _mismatch(partition, record.offset, segment_id, entry, "is another record")
    try:
        found = SegmentIndex.from_json(headers.get("index") or b"")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _mismatch(
            partition, record.offset, segment_id, entry, f"has no readable index: {error}"
        ) from error
    if (found.id, found.checksum) != (segment_id, entry.checksum):
        raise _mismatch(partition, record.offset, segment_id, entry, "has the index of another")
    remember(found, data)
    return found, data


def _mismatch(
    partition: Partition, offset: int, segment_id: str, entry: ManifestEntry, what: str
) -> ArchiveMismatch:
    return ArchiveMismatch(
        f"{partition[0]}[{partition[1]}]@{offset}: segment {segment_id} with checksum "
        f"{entry.checksum} {what}",
        remedy="Restore the archive topic from a backup; hot data has not been dropped",
    )
