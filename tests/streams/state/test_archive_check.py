"""What is a segment of the archive, and what is damage: by the bytes, whatever the headers say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from schemas.decode.batch import RecordBatch, SealedBatch, seal_batches
from schemas.records.lifecycle import FailureCode
from schemas.segment import codec
from schemas.segment.index import SegmentIndex, build
from schemas.segment.order import in_order
from streams.kafka.opening import open_batches
from streams.settings import Settings, load
from streams.state import archive
from streams.state.archive_check import ArchiveDamage, ArchivedSegment, WantedSegments
from streams.state.hot_table import ManifestEntry
from tests.rigs.record_batches import Produced, batch, wire
from tests.rigs.rows import random_rows

TOPIC = "t.archive"
SOURCE = "campaign:0000"


@dataclass(frozen=True)
class Kept:
    """A segment, its record, and its entry at `offset`."""

    index: SegmentIndex
    data: bytes
    record: Produced
    entry: ManifestEntry


@pytest.fixture
def kept() -> list[Kept]:
    """Three segments of one source."""
    settings: Settings = load({"prefix": "t."}, env={})
    made = []
    for offset in range(3):
        rows = random_rows(offset, 20, sources=1).unique(["source", "user", "kind"])
        frame = in_order(rows)
        data = codec.encode(frame)
        index = build(f"{offset:024x}", 0, frame, data)
        one = archive.append(settings, 0, index, data, 1)
        entry = ManifestEntry(offset, index.rows, index.bytes, index.checksum, 1)
        made.append(Kept(index, data, Produced(one.value, one.key, headers=one.headers), entry))
    return made


def wanted(kept: Sequence[Kept]) -> WantedSegments:
    entries = {one.index.id: one.entry for one in kept}
    return WantedSegments((TOPIC, 0), entries, dict.fromkeys(entries, SOURCE))


def read(
    kept: Sequence[Kept], records: Sequence[Produced], *, doubtful: bool = False
) -> list[ArchivedSegment | ArchiveDamage]:
    return wanted(kept).of_batch(batch(records, topic=TOPIC), doubtful)


def codes(found: Sequence[ArchivedSegment | ArchiveDamage]) -> list[FailureCode | None]:
    return [one.code if isinstance(one, ArchiveDamage) else None for one in found]


def headed(one: Kept, **headers: bytes) -> Produced:
    """The record with other headers."""
    return one.record._replace(headers=list((dict(one.record.headers) | headers).items()))


def flipped(data: bytes, at: int = 100) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGED: dict[str, tuple[Callable[[Kept], Produced], FailureCode]] = {
    "a flipped byte": (
        lambda one: one.record._replace(value=flipped(one.data)),
        FailureCode.ARCHIVE_DAMAGED,
    ),
    "cut short": (
        lambda one: one.record._replace(value=one.data[:-9]),
        FailureCode.ARCHIVE_DAMAGED,
    ),
    "no value": (lambda one: one.record._replace(value=None), FailureCode.ARCHIVE_DAMAGED),
    "another id": (lambda one: headed(one, segment=b"f" * 24), FailureCode.ARCHIVE_FOREIGN),
    "no headers": (lambda one: one.record._replace(headers=()), FailureCode.ARCHIVE_FOREIGN),
    "zeros that are few bytes": (
        lambda one: one.record._replace(value=bytes(2_000_000)),
        FailureCode.ARCHIVE_DAMAGED,
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_record_is_named_and_affects_no_other(kept: list[Kept], kind: str) -> None:
    damage, code = DAMAGED[kind]
    records = [kept[0].record, damage(kept[1]), kept[2].record]
    found = read(kept, records)
    assert codes(found) == [None, code, None]
    bad = found[1]
    assert isinstance(bad, ArchiveDamage)
    assert (bad.segment, bad.place) == (kept[1].index.id, "t.archive[0]@1")
    assert str(bad).startswith(f"t.archive[0]@1: segment {kept[1].index.id}: ")


@pytest.mark.parametrize(
    "index",
    [b"", b"{}", b"[1", b"null", b'{"low": 1, "high": 2}', None],
    ids=["empty", "without fields", "no JSON", "null", "wrong types", "of another source"],
)
def test_an_index_that_does_not_match_is_made_anew_from_the_bytes(
    kept: list[Kept], index: bytes | None
) -> None:
    other = replace(kept[0].index, sources={"campaign:other": kept[0].index.rows})
    said = other.to_json() if index is None else index
    found = read(kept[:1], [headed(kept[0], index=said)])
    assert found == [ArchivedSegment(kept[0].index, kept[0].data)]


def test_rows_of_another_source_are_another_record(kept: list[Kept]) -> None:
    one = kept[0]
    asked = WantedSegments((TOPIC, 0), {one.index.id: one.entry}, {one.index.id: "campaign:b"})
    assert codes(asked.of_batch(batch([one.record], topic=TOPIC))) == [FailureCode.ARCHIVE_FOREIGN]


def test_in_doubt_only_the_bytes_of_a_segment_are_believed(kept: list[Kept]) -> None:
    """As read without the checksum of the batch: a flipped bit may be in any header."""
    lie = replace(kept[0].index, high=(SOURCE, "0"), level=7)
    records = [headed(kept[0], index=lie.to_json()), headed(kept[1], segment=b"?")]
    found = read(kept[:2], records, doubtful=True)
    assert found == [ArchivedSegment(one.index, one.data) for one in kept[:2]]
    damaged = read(kept[:1], [kept[0].record._replace(value=flipped(kept[0].data))], doubtful=True)
    assert codes(damaged) == [FailureCode.ARCHIVE_DAMAGED]


def test_a_record_that_is_gone_is_missing(kept: list[Kept]) -> None:
    asked = wanted(kept)
    found = asked.of_batch(batch([kept[0].record, kept[2].record], topic=TOPIC, offsets=[0, 2]))
    assert codes(found) == [None, FailureCode.ARCHIVE_MISSING, None]
    assert not asked
    asked = wanted(kept)
    assert codes(asked.passed(2)) == [FailureCode.ARCHIVE_MISSING] * 2
    assert asked.next == 2
    asked = wanted(kept)
    assert [one.offset for one in asked.outside(2)] == [0, 1]
    assert asked.next == 2
    asked = wanted(kept)
    assert [one.offset for one in asked.outside(0)] == [0, 1, 2]
    assert not asked


def test_a_batch_that_becomes_too_large_is_the_damage_of_its_records(kept: list[Kept]) -> None:
    """A decompression bomb: some kilobytes that would become 40 MB."""
    bomb = wire([Produced(bytes(40_000_000))], codec=4, base_offset=1)
    assert len(bomb) < 100_000
    asked = wanted(kept)
    opened = open_batches(sealed(bomb), 16_000_000, 16_000_000)
    assert not opened.batches
    for one in opened.unreadable:
        asked.skipped(*one)
    found = asked.of_batch(batch([kept[0].record], topic=TOPIC))
    found += asked.of_batch(batch([kept[2].record], topic=TOPIC, base_offset=2))
    assert codes(found) == [None, FailureCode.ARCHIVE_DAMAGED, None]
    assert "too_large" in str(found[1])


def sealed(raw: bytes) -> list[SealedBatch]:
    return [one for _, one in seal_batches(raw, TOPIC, 0) if one is not None]


def test_records_of_a_batch_that_is_cut_are_damaged_and_never_half_read(kept: list[Kept]) -> None:
    whole = batch([one.record for one in kept], topic=TOPIC)
    cut: RecordBatch = replace(whole, payload=whole.payload[: len(whole.payload) // 2])
    found = wanted(kept).of_batch(cut)
    assert codes(found) == [FailureCode.ARCHIVE_DAMAGED] * 3


def test_two_entries_of_one_offset_are_both_answered(kept: list[Kept]) -> None:
    one, other = kept[0], kept[1]
    entries = {one.index.id: one.entry, other.index.id: replace(other.entry, offset=0)}
    asked = WantedSegments((TOPIC, 0), entries, {})
    found = asked.of_batch(batch([one.record], topic=TOPIC))
    assert sorted(one.segment for one in found) == sorted(entries)
    assert sum(isinstance(one, ArchiveDamage) for one in found) == 1
