"""Decompression accepts what brokers accept, and never takes more space than allowed."""

import gzip
import random
import tracemalloc
from collections.abc import Callable, Mapping

import cramjam
import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode

from schemas.decode.compression import decompress
from schemas.records.undecodable import Undecodable

LIMIT = 1_000_000
Encode = Callable[[bytes], bytes]
ENCODERS: Mapping[str, tuple[int, Encode]] = {
    "none": (0, bytes),
    "gzip": (1, gzip_encode),
    "snappy": (2, snappy_encode),
    "snappy raw": (2, lambda data: bytes(snappy_encode(data, xerial_compatible=False))),
    "lz4": (3, lz4_encode),
    "lz4 with checksums": (3, lambda data: _lz4(data, content_checksum=True)),
    "lz4 linked": (3, lambda data: _lz4(data, block_linked=True)),
    "zstd": (4, zstd_encode),
}
FRAMED = [name for name in ENCODERS if name not in ("none", "snappy raw")]


def _lz4(data: bytes, **options: bool) -> bytes:
    compressor = cramjam.lz4.Compressor(**options)
    compressor.compress(data)
    return bytes(compressor.finish())


def text(size: int, seed: int = 1) -> bytes:
    chance = random.Random(seed)
    return bytes(chance.choices(b"abcdefgh\x00", k=size))


@pytest.mark.parametrize("size", [1, 100, 40_000, LIMIT])
@pytest.mark.parametrize("name", ENCODERS)
def test_everything_comes_back(name: str, size: int) -> None:
    codec, encode = ENCODERS[name]
    data = text(size)
    assert decompress(bytes(encode(data)), codec, LIMIT) == data


@pytest.mark.parametrize("name", ENCODERS)
def test_what_becomes_more_than_the_limit_is_refused_before_it_is_there(name: str) -> None:
    codec, encode = ENCODERS[name]
    bomb = encode(bytes(100 * LIMIT))
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable, match="more than 1000000 bytes") as caught:
            decompress(bomb, codec, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 3 * LIMIT
    finally:
        tracemalloc.stop()
    assert caught.value.code == "too_large"
    with pytest.raises(Undecodable, match="more than 10 bytes"):
        decompress(encode(text(11)), codec, 10)


@pytest.mark.parametrize(
    "behind",
    [b"\0", b"garbage", bytes(40), b"\x1f\x8bnone", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"],
)
@pytest.mark.parametrize("name", FRAMED)
def test_bytes_behind_the_payload_are_passed_over(name: str, behind: bytes) -> None:
    codec, encode = ENCODERS[name]
    assert decompress(encode(text(1_000)) + behind, codec, LIMIT) == text(1_000)


@pytest.mark.parametrize("name", FRAMED)
def test_a_second_frame_continues_the_first(name: str) -> None:
    codec, encode = ENCODERS[name]
    both = encode(text(1_000)) + encode(text(500, 2))
    assert decompress(both, codec, LIMIT) == text(1_000) + text(500, 2)
    with pytest.raises(Undecodable, match="more than"):
        decompress(encode(text(1_000)) + encode(text(500, 2)), codec, 1_400)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ENCODERS)
def test_damage_of_any_kind_is_an_error_and_takes_no_space(name: str, seed: int) -> None:
    codec, encode = ENCODERS[name]
    whole = encode(text(3_000))
    chance = random.Random(seed)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(min(len(data), 64))] = chance.choice((0, 1, 127, 128, 255))
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        try:
            found = decompress(bytes(data), codec, LIMIT)
        except Undecodable:
            continue
        assert len(found) <= LIMIT


def test_an_unknown_codec() -> None:
    with pytest.raises(Undecodable, match="codec 7"):
        decompress(b"x", 7, LIMIT)


def test_members_of_gzip_by_another_writer() -> None:
    assert decompress(gzip.compress(b"one") + gzip.compress(b"two"), 1, LIMIT) == b"onetwo"
