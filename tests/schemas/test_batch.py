import struct

import pytest

from schemas.batch import (
    ABORT,
    COMMIT,
    CorruptBatch,
    KafkaRecord,
    UnsupportedBatch,
    parse_batches,
    unpack,
)
from schemas.batch_records import CorruptRecords, _walk
from tests.schemas.record_batches import CODECS, NOW, Produced, batch, wire, with_payload

RECORDS = [
    Produced(b"one", b"k1", NOW),
    Produced(None, b"k2", NOW + 5, [("trace", b"x"), ("empty", None)]),
    Produced(b"", None, NOW - 70_000),
]


def expected(base: int) -> list[KafkaRecord]:
    return [
        KafkaRecord(base + i, r.timestamp, r.key, r.value, list(r.headers))
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
        assert _walk(one) == expected(base)


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


def test_bytes_that_do_not_decompress() -> None:
    raw = wire(RECORDS, attributes=CODECS["lz4"])

    with pytest.raises(CorruptBatch, match="decompressed"):
        list(parse_batches(raw, "t", 0))


@pytest.mark.parametrize("magic", [0, 1])
def test_old_formats_are_refused(magic: int) -> None:
    raw = bytearray(wire(RECORDS))
    raw[16] = magic

    with pytest.raises(UnsupportedBatch, match=f"format {magic}"):
        list(parse_batches(raw, "t", 0))


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UnsupportedBatch, match="codec 7"):
        list(parse_batches(wire(RECORDS, attributes=7), "t", 0))


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
    assert {record.timestamp for record in _walk(found)} == {found.max_timestamp}


def test_a_header_key_that_is_no_text() -> None:
    found = batch([Produced(b"v", headers=[("abc", b"x")])])
    odd = with_payload(found, found.payload.replace(b"abc", b"\xff\xfe\xfd"))

    assert unpack(odd)[0].headers == [("\ufffd\ufffd\ufffd", b"x")]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_records_that_do_not_fit_their_batch(cut: int) -> None:
    found = batch(RECORDS)

    with pytest.raises(CorruptRecords, match=r"t.interactions.send\[0\] offset 0"):
        unpack(with_payload(found, found.payload[:-cut]))
    with pytest.raises(CorruptRecords):
        unpack(with_payload(found, found.payload + b"\0"))
    with pytest.raises(CorruptRecords):
        _walk(with_payload(found, found.payload[:-cut]))
