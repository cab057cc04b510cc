"""The archive: segments of expired sources, kept for ever, one record for each segment.

The headers of a record contain everything that is needed to rebuild the manifest by a scan: segment
id, source, epoch, rows, partition count, checksum, the segments that it replaces, and the index.
"""

from collections.abc import AsyncIterator, Mapping

from schemas.decode.batch import unpack
from schemas.errors import Fatal
from schemas.segment.codec import checksum
from schemas.segment.index import SegmentIndex, remember
from streams.kafka.log import Log, ReaderOptions, Record
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state.hot_table import ManifestEntry

__all__ = ["ArchiveMismatch", "append", "read"]

#: A gap between wanted records larger than this many offsets is jumped over.
_JUMP = 16


class ArchiveMismatch(Fatal):
    """An archived record is not the segment that the manifest names."""


def append(
    settings: Settings, partition: int, index: SegmentIndex, data: bytes, epoch: int
) -> Record:
    """The archive record of a segment that holds one source."""
    (source,) = index.sources
    headers = {
        "segment": index.id,
        "source": source,
        "epoch": str(epoch),
        "rows": str(index.rows),
        "partitions": str(settings.partitions),
        "checksum": index.checksum,
        "replaces": "",
    }
    return Record(
        Topics(settings.prefix).archive,
        source.encode(),
        data,
        partition,
        (*((name, value.encode()) for name, value in headers.items()), ("index", index.to_json())),
    )


async def read(
    settings: Settings, kafka: Log, partition: int, entries: Mapping[str, ManifestEntry]
) -> AsyncIterator[tuple[SegmentIndex, bytes]]:
    """The segments at `entries` (segment id -> entry), verified, in the order of their offsets.

    Raises `ArchiveMismatch` if a record is missing or its id or checksum differs, `Recoverable` if
    the broker returns nothing for 30 s.
    """
    topic = Topics(settings.prefix).archive
    wanted = {entry.offset: (segment_id, entry) for segment_id, entry in entries.items()}
    order = sorted(wanted, reverse=True)
    if not order:
        return
    partition_key = (topic, partition)
    reader = kafka.reader({partition_key: order[-1]}, ReaderOptions(name=f"archive-{partition}"))
    await reader.start()
    try:
        while order:
            batches = await reader.progress()
            for record in (record for batch in batches for record in unpack(batch)):
                if order and record.offset > order[-1]:
                    raise _mismatch(partition_key, order[-1], *wanted[order[-1]], "is gone")
                if order and record.offset == order[-1]:
                    segment_id, entry = wanted[order.pop()]
                    headers = dict(record.headers)
                    data = record.value or b""
                    # what is read back is compared in full: hot data is dropped on its word
                    if (
                        headers.get("segment") != segment_id.encode()
                        or checksum(data) != entry.checksum
                    ):
                        raise _mismatch(
                            partition_key, record.offset, segment_id, entry, "is another record"
                        )
                    found = SegmentIndex.from_json(headers["index"] or b"")
                    if found.checksum == entry.checksum:
                        remember(found, data)
                    yield found, data
            if order and order[-1] - reader.position(partition_key) > _JUMP:
                reader.seek(partition_key, order[-1])
    finally:
        await reader.close()


def _mismatch(
    partition: tuple[str, int], offset: int, segment_id: str, entry: ManifestEntry, what: str
) -> ArchiveMismatch:
    return ArchiveMismatch(
        f"{partition[0]}[{partition[1]}]@{offset}: segment {segment_id} with checksum "
        f"{entry.checksum} {what}",
        remedy="Restore the archive topic from a backup; hot data has not been dropped",
    )
