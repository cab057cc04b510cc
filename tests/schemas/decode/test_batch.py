import struct
import tracemalloc
from dataclasses import replace

import pytest
from aiokafka.record.util import calc_crc32c

from schemas.decode.batch import (
    ABORT,
    COMMIT,
    CorruptBatch,
    KafkaRecord,
    RecordBatch,
    parse_batches,
    unpack,
)
from schemas.decode.batch_records import (
    MOST_HEADERS,
    CorruptRecords,
    chunks,
    proven,
    unpack_proven,
)
from schemas.records.varint import read_varint, varint
from tests.rigs.record_batches import (
    CODECS,
    NOW,
    Produced,
    batch,
    two_readings,
    wire,
    with_payload,
)

RECORDS = [
    Produced(b"one", b"k1", NOW),
    Produced(None, b"k2", NOW + 5, [("trace", b"x"), ("empty", None)]),
    Produced(b"", None, NOW - 70_000),
]


def expected(base: int) -> list[KafkaRecord]:
    return [
        KafkaRecord(base + i, r.timestamp, r.key, r.value, list(r.headers) or ())
        for i, r in enumerate(RECORDS)
    ]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_batches_of_every_codec(codec: int) -> None:
    raw = wire(RECORDS, codec=codec, base_offset=7) + wire(RECORDS, codec=codec, base_offset=10)

    found = list(parse_batches(raw, "t", 3))

    assert [header.next_offset for header, _ in found] == [10, 13]
    for (_, one), base in zip(found, (7, 10), strict=True):
        assert one is not None
        assert (one.topic, one.partition, one.count, one.next_offset) == ("t", 3, 3, base + 3)
        assert unpack(one) == expected(base)
        assert unpack_proven(one) == expected(base)


def test_an_incomplete_last_batch_is_left_out() -> None:
    whole, cut = wire(RECORDS), wire(RECORDS, base_offset=3)

    for size in range(len(cut)):
        assert len(list(parse_batches(whole + cut[:size], "t", 0))) == 1


def test_a_flipped_bit_fails_the_checksum() -> None:
    raw = bytearray(wire(RECORDS))
    raw[-1] ^= 1

    with pytest.raises(CorruptBatch, match=r"t\[0\] offset 0: checksum"):
        list(parse_batches(raw, "t", 0))
    assert list(parse_batches(raw, "t", 0, check_crc=False))


def fault(raw: bytes) -> tuple[str, str]:
    [(_, found)] = parse_batches(raw, "t", 0)
    assert found is not None
    assert found.fault is not None
    with pytest.raises(CorruptRecords, match=r"t\[0\] offset 0: a batch of"):
        unpack(found)
    return found.fault


def test_bytes_that_do_not_decompress() -> None:
    code, detail = fault(wire(RECORDS, attributes=CODECS["lz4"]))
    assert code == "undecodable"
    assert "lz4" in detail


@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_passed_over_whole(magic: int) -> None:
    raw = bytearray(wire(RECORDS))
    raw[16] = magic
    assert "older than v2" in fault(bytes(raw))[1]
    [(header, _), (following, _)] = parse_batches(bytes(raw) + wire(RECORDS, base_offset=1), "t", 0)
    assert (header.next_offset, following.base_offset) == (1, 1)


def test_an_unknown_codec_is_passed_over() -> None:
    assert fault(wire(RECORDS, attributes=7)) == (
        "undecodable",
        "compression codec 7 is unknown",
    )


def test_a_batch_that_says_it_has_more_records_than_it_can_hold() -> None:
    for count, code in ((2**31 - 1, "too_large"), (500, "")):
        raw = bytearray(wire(RECORDS))
        struct.pack_into(">i", raw, 57, count)
        struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
        [(_, found)] = parse_batches(bytes(raw), "t", 0)
        assert found is not None
        assert (found.fault or ("",))[0] == code
        with pytest.raises(CorruptRecords):
            unpack(found)


@pytest.mark.parametrize("kind", [ABORT, COMMIT])
def test_control_batches_say_how_a_transaction_ended(kind: int) -> None:
    raw = wire([Produced(b"\0" * 6, struct.pack(">hh", 0, kind))], attributes=0x30)

    [(header, found)] = parse_batches(raw, "t", 0)

    assert found is None
    assert header.is_control
    assert header.is_transactional
    assert header.control_type == kind


def test_log_append_time() -> None:
    found = batch(RECORDS, attributes=0x08)

    assert {record.timestamp for record in unpack(found)} == {found.max_timestamp}
    assert {record.timestamp for record in unpack_proven(found)} == {found.max_timestamp}


def with_header_key(key: bytes) -> RecordBatch:
    found = batch([Produced(b"v", headers=[("abc", b"x")])])
    return with_payload(found, found.payload.replace(b"abc", key))


def with_headers(count: int) -> RecordBatch:
    record = batch([Produced(b"v", b"k")]).payload
    body = record[1:-1] + varint(count) + bytes(2 * count)
    return with_payload(batch([Produced(b"v", b"k")]), varint(len(body)) + body)


@pytest.mark.parametrize(
    "odd",
    [
        batch(RECORDS),
        batch(RECORDS, attributes=0x08),
        with_payload(batch(RECORDS), batch(RECORDS).payload + b"\0garbage"),
        with_header_key(b"abc"),
        with_header_key(b"\xff\xfe\xfd"),
        with_headers(MOST_HEADERS),
        with_headers(MOST_HEADERS + 1),
        replace(batch([Produced(b"v")]), base_timestamp=-(2**63)),
    ],
)
def test_a_batch_that_was_looked_at_once_reads_the_same_the_second_time(odd: RecordBatch) -> None:
    assert unpack(proven(odd)) == unpack(odd)


def test_attributes_are_one_byte_whatever_is_in_it() -> None:
    found = two_readings(b"value")

    assert unpack(found)[0].offset == 0
    assert unpack_proven(found) == unpack(found)
    assert unpack(proven(found)) == unpack(found)


def test_a_batch_that_cannot_be_read_is_not_proven() -> None:
    found = batch(RECORDS)
    with pytest.raises(CorruptRecords):
        proven(with_payload(found, found.payload[:-1]))


def test_a_header_key_that_is_no_text() -> None:
    odd = with_header_key(b"\xff\xfe\xfd")
    assert unpack(odd)[0].headers == [("\ufffd\ufffd\ufffd", b"x")]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_records_that_do_not_fit_their_batch(cut: int) -> None:
    found = batch(RECORDS)

    with pytest.raises(CorruptRecords, match=r"t.interactions.send\[0\] offset 0"):
        unpack(with_payload(found, found.payload[:-cut]))
    with pytest.raises(CorruptRecords):
        unpack_proven(with_payload(found, found.payload[:-cut]))


def test_what_lies_behind_the_records_is_passed_over() -> None:
    found = batch(RECORDS)
    assert unpack(with_payload(found, found.payload + b"\0garbage")) == expected(0)
    assert unpack_proven(with_payload(found, found.payload + b"\0garbage")) == expected(0)


@pytest.mark.parametrize("offsets", [(0, 0, 1), (2, 1, 0), (-1, 0, 1), (0, 1, 9)])
def test_offsets_that_are_out_of_order(offsets: tuple[int, ...]) -> None:
    found = batch(RECORDS, offsets=offsets)
    with pytest.raises(CorruptRecords, match="out of order"):
        unpack(replace(found, last_offset=2))


@pytest.mark.parametrize("count", [1, MOST_HEADERS, MOST_HEADERS + 1, 500_000])
def test_headers_cost_no_more_than_some(count: int) -> None:
    """A million empty headers are 2 MB that zstd makes of 180 bytes, and were 2 GB here."""
    one = with_headers(count)
    tracemalloc.start()
    try:
        (found,) = unpack(one)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert (found.key, found.value) == (b"k", b"v")
    assert len(found.headers) == (count if count <= MOST_HEADERS else 0)


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_number_without_an_end_is_read_no_further(length: int) -> None:
    with pytest.raises(IndexError):
        read_varint(b"\x80" * length, 0)


def test_many_records_come_some_at_a_time_or_not_at_all() -> None:
    found = batch([Produced(b"v", None)] * 45_000)
    assert [len(chunk) for chunk in chunks(found)] == [20_000, 20_000, 5_000]
    with pytest.raises(CorruptRecords):
        next(chunks(with_payload(found, found.payload[:-1])))


def test_a_timestamp_beyond_64_bits_wraps_as_everywhere_else() -> None:
    found = replace(batch([Produced(b"v")]), base_timestamp=2**63 - 1)
    late = with_payload(found, found.payload[:1] + b"\x00\x02" + found.payload[3:])
    assert [record.timestamp for record in unpack(late)] == [-(2**63)]
