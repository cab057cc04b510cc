"""The archive of a partition: what is read back is what was appended, over one connection."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace

import polars as pl
import pytest

from schemas.records.lifecycle import FailureCode
from schemas.segment import codec
from schemas.segment.index import SegmentIndex, build
from schemas.segment.order import in_order
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import DEFAULT_OPTIONS, LogReader, Partition, ReaderOptions
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state import archive
from streams.state.archive import ArchiveDamage, ArchivedSegment, ArchiveReader, ArchiveSilent
from streams.state.hot_table import ManifestEntry
from streams.state.store import new_id
from tests.rigs.hostile.silent_archive import FlippingLog, SilentLog
from tests.rigs.rows import random_rows

pytestmark = pytest.mark.connected

PARTITION = 2
#: More than the gap that is jumped over.
MANY = 40


class CountingLog(KafkaLog):
    """The broker's log; counts the readers that connect."""

    readers = 0

    def reader(
        self, cursor: Mapping[Partition, int], options: ReaderOptions = DEFAULT_OPTIONS
    ) -> LogReader:
        self.readers += 1
        return super().reader(cursor, options)


@pytest.fixture
async def entries(settings: Settings, topics: Topics) -> dict[str, ManifestEntry]:
    """`MANY` segments in the archive, one record each; in the order of their offsets."""
    made: list[tuple[SegmentIndex, bytes]] = []
    for number in range(MANY):
        frame = in_order(random_rows(number, 20, sources=1).unique(["source", "user", "kind"]))
        data = codec.encode(frame)
        made.append((build(new_id(1_700_000_000_000), 0, frame, data), data))
    writer = KafkaLog(settings).writer("test-archive")
    await writer.start()
    try:
        offsets = await writer.commit(
            [archive.append(settings, PARTITION, index, data, 1) for index, data in made]
        )
    finally:
        await writer.close()
    return {
        index.id: ManifestEntry(offset, index.rows, index.bytes, index.checksum, 1)
        for (index, _), offset in zip(made, offsets, strict=True)
    }


@pytest.fixture
def kafka(settings: Settings) -> CountingLog:
    return CountingLog(settings)


@pytest.fixture
async def reader(settings: Settings, kafka: CountingLog) -> AsyncIterator[ArchiveReader]:
    opened = ArchiveReader(settings, kafka, PARTITION)
    yield opened
    await opened.close()


async def read(
    reader: ArchiveReader, entries: Mapping[str, ManifestEntry], ids: Iterable[str]
) -> list[str]:
    found = reader.read({one: entries[one] for one in ids})
    return [one.segment async for one in found if isinstance(one, ArchivedSegment)]


async def test_readings_follow_each_other_over_one_connection(
    reader: ArchiveReader, kafka: CountingLog, entries: dict[str, ManifestEntry]
) -> None:
    ids = list(entries)
    assert await read(reader, entries, ids) == ids
    # back to the start, across a gap, in any order of the question
    assert await read(reader, entries, (ids[-1], ids[0])) == [ids[0], ids[-1]]
    assert await read(reader, entries, ids[5:6]) == ids[5:6]
    assert await read(reader, entries, ()) == []
    assert kafka.readers == 1


async def test_a_reading_that_ends_early_does_not_spoil_the_next(
    reader: ArchiveReader, kafka: CountingLog, entries: dict[str, ManifestEntry]
) -> None:
    ids = list(entries)
    async with aclosing(reader.read(entries)) as reading:
        first = await anext(reading)
        assert first.segment == ids[0]
    assert await read(reader, entries, ids[3:]) == ids[3:]
    assert kafka.readers == 2
    # one that was given all it asked for has ended, also if nobody asked for more
    async with aclosing(reader.read({ids[1]: entries[ids[1]]})) as reading:
        await anext(reading)
    assert await read(reader, entries, ids[:2]) == ids[:2]
    assert kafka.readers == 2


async def test_a_record_that_is_not_the_manifests_is_told_and_the_others_are_read(
    settings: Settings, reader: ArchiveReader, entries: dict[str, ManifestEntry]
) -> None:
    ids = list(entries)
    wrong = ManifestEntry(entries[ids[1]].offset, 1, 1, "0" * 32, 1)
    for name, entry, code in (
        (ids[1], wrong, FailureCode.ARCHIVE_DAMAGED),
        (ids[0], entries[ids[1]], FailureCode.ARCHIVE_FOREIGN),
    ):
        found = [one async for one in reader.read({**entries, name: entry})]
        (damage,) = [one for one in found if isinstance(one, ArchiveDamage)]
        assert (damage.segment, damage.code) == (name, code)
        assert damage.place == f"{settings.prefix}archive[{PARTITION}]@{entry.offset}"
        assert sorted(one.segment for one in found) == sorted(ids)
    # a closed reader connects again
    await reader.close()
    assert await read(reader, entries, ids[:2]) == ids[:2]


async def test_records_that_the_log_no_longer_has_are_told_and_the_others_are_read(
    settings: Settings, reader: ArchiveReader, entries: dict[str, ManifestEntry]
) -> None:
    ids = list(entries)
    partition = (Topics(settings.prefix).archive, PARTITION)
    await KafkaLog(settings).admin.delete_below(partition, entries[ids[3]].offset)
    beyond = replace(entries[ids[-1]], offset=10_000)
    found = [one async for one in reader.read({**entries, "beyond": beyond})]
    gone = [one for one in found if isinstance(one, ArchiveDamage)]
    assert [one.segment for one in gone] == [*ids[:3], "beyond"]
    assert {one.code for one in gone} == {FailureCode.ARCHIVE_MISSING}
    assert [one.segment for one in found if isinstance(one, ArchivedSegment)] == ids[3:]


async def test_an_archive_that_does_not_answer_is_given_up_at_the_deadline(
    settings: Settings, entries: dict[str, ManifestEntry]
) -> None:
    silent = SilentLog(settings)
    reader = ArchiveReader(settings, silent, PARTITION, silence_s=0.5, look_s=0.2)
    with pytest.raises(ArchiveSilent, match=r"archive\[2\]@\d+: .* could not be read"):
        [one async for one in reader.read(entries)]
    silent.hangs = False
    assert await read(reader, entries, entries) == list(entries)
    await reader.close()


async def test_a_batch_with_a_wrong_checksum_damages_only_the_segment_with_the_wrong_bytes(
    settings: Settings, entries: dict[str, ManifestEntry]
) -> None:
    flipping = FlippingLog(settings)
    reader = ArchiveReader(settings, flipping, PARTITION, look_s=0.5)
    whole = [one async for one in reader.read(entries)]
    await reader.close()
    ids = list(entries)
    bad = whole[7]
    assert isinstance(bad, ArchivedSegment)
    flipping.flips = bad.data
    found = [one async for one in reader.read(entries)]
    assert [one.segment for one in found] == ids
    (damage,) = [one for one in found if isinstance(one, ArchiveDamage)]
    assert (damage.segment, damage.code) == (ids[7], FailureCode.ARCHIVE_DAMAGED)
    assert [one for one in found if one is not damage] == [*whole[:7], *whole[8:]]
    await reader.close()


async def test_what_is_read_is_what_was_appended(
    reader: ArchiveReader, entries: dict[str, ManifestEntry]
) -> None:
    found = [one async for one in reader.read(entries) if isinstance(one, ArchivedSegment)]
    assert [one.segment for one in found] == list(entries)
    for one in found:
        assert codec.checksum(one.data) == one.index.checksum == entries[one.segment].checksum
        assert isinstance(codec.decode(one.data), pl.DataFrame)
