"""Record batches of attackers and broken producers; their checksum is valid.

`hostile_batches(seed)` never ends; each item has the kind of damage, the bytes as in a log, and the
number of records that the batch claims. The same seed gives the same batches.
"""

import gzip
import struct
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import NamedTuple

import cramjam
from aiokafka.codec import snappy_encode
from aiokafka.record.util import calc_crc32c

from schemas.decode.wire import HEADER, LENGTH_END
from schemas.records import codec
from schemas.records.varint import varint
from streams.kafka.topic_specs import EVENTS
from tests.rigs.hostile.damage import damaged_bytes
from tests.rigs.record_batches import NOW

__all__ = [
    "COMPRESS",
    "KINDS",
    "HostileBatch",
    "event_value",
    "hostile_batches",
    "record_of",
    "wire_of",
]

_CRC_AT, _CRC_END = 17, 21
COMPRESS: Mapping[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda data: gzip.compress(data, 1),
    2: snappy_encode,
    3: lambda data: bytes(cramjam.lz4.compress(data)),
    4: lambda data: bytes(cramjam.zstd.compress(data)),
}
_HUGE = b"\xfe" + b"\xff" * 8 + b"\x01"
"""The largest number that ten bytes of a varint can say."""


class HostileBatch(NamedTuple):
    """`wire` is one batch, header included; `event` the kind of its topic; `records` how many it
    says it has."""

    kind: str
    event: str
    wire: bytes
    records: int


def hostile_batches(seed: int, base_offset: int = 0) -> Iterator[HostileBatch]:
    """Batches without end, one after another from `base_offset` on."""
    number = 0
    while True:
        rng = Random(f"batches {seed} {number}")
        kind = rng.choice(sorted(KINDS))
        event = rng.choice(EVENTS)
        payload, count, compression = KINDS[kind](rng, event)
        if isinstance(payload, bytes):
            payload = COMPRESS[compression](payload)
        wire = wire_of(bytes(payload), count, compression, base_offset)
        yield HostileBatch(kind, event, wire, count)
        base_offset += max(1, min(count, 1 << 20))
        number += 1


def wire_of(payload: bytes | bytearray, count: int, compression: int, base_offset: int) -> bytes:
    """A batch of these bytes, which count as compressed."""
    size = HEADER.size - LENGTH_END + len(payload)
    last = max(0, min(count, 1 << 20) - 1)
    head = HEADER.pack(
        base_offset, size, 0, 2, 0, compression, last, NOW, NOW, -1, -1, -1, count
    )  # fmt: skip
    raw = bytearray(head + payload)
    struct.pack_into(">I", raw, _CRC_AT, calc_crc32c(bytes(raw[_CRC_END:])))
    return bytes(raw)


def record_of(
    offset: int,
    value: bytes | None,
    key: bytes | None = b"k",
    headers: int = 0,
    *,
    behind: bytes = b"",
) -> bytes:
    """One record; `headers` of them are empty, `behind` follows them within its length."""
    body = b"\x00" + varint(0) + varint(offset)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += varint(-1) if value is None else varint(len(value)) + value
    body += varint(headers) + bytes(2 * headers) + behind
    return varint(len(body)) + body


def event_value(event: str, number: int, **fields: object) -> bytes:
    """A good event of user `ada`."""
    good = {"id": f"h{number}", "user_id": "ada", "time": NOW, "campaign_id": "a"}
    return codec.encode(event, good | fields)


_Made = tuple[bytes | bytearray, int, int]
"""Payload (bytes: to be compressed; a bytearray: as it is), count, compression."""


def _any_codec(rng: Random) -> int:
    return rng.randrange(5)


def _good(event: str, count: int) -> bytes:
    return b"".join(record_of(n, event_value(event, n)) for n in range(count))


def _header_bomb(rng: Random, event: str) -> _Made:
    headers = rng.choice((65, 5_000, 1_000_000))
    return record_of(0, event_value(event, 0), headers=headers), 1, rng.choice((2, 3, 4))


def _zeros(rng: Random, event: str) -> _Made:
    size = rng.choice((100_000, 5_000_000, 40_000_000))
    return bytes(size), rng.choice((1, 500, size // 7)), rng.choice((1, 3, 4))


def _large_values(rng: Random, event: str) -> _Made:
    size = rng.choice((1_000, 899_000, 2_000_000))
    return b"".join(record_of(n, bytes(size)) for n in range(10)), 10, rng.choice((3, 4))


def _tiny_records(rng: Random, event: str) -> _Made:
    count = rng.choice((100, 9_000, 40_000))
    value = rng.choice((None, b"", b"\x00", b"{", b"\x00\x00\x00\x00\x01"))
    payload = b"".join(record_of(n, value, None) for n in range(count))
    return payload, count, rng.choice((3, 4))


def _bytes_behind(rng: Random, event: str) -> _Made:
    compression = rng.randrange(1, 5)
    packed = bytearray(COMPRESS[compression](_good(event, 5)))
    packed += rng.choice((b"\0", b"garbage", bytes(40), rng.randbytes(30)))
    return packed, 5, compression


def _second_frame(rng: Random, event: str) -> _Made:
    compression = rng.choice((1, 3, 4))
    packed = bytearray(COMPRESS[compression](_good(event, 5)))
    packed += COMPRESS[compression](rng.choice((b"more", _good(event, 3), bytes(3_000_000))))
    return packed, 5, compression


def _records_behind(rng: Random, event: str) -> _Made:
    return _good(event, 5) + rng.choice((b"\0", b"x" * 50)), 5, _any_codec(rng)


def _false_count(rng: Random, event: str) -> _Made:
    return _good(event, 5), rng.choice((1, 4, 6, 1_000, 2**31 - 1)), _any_codec(rng)


def _damaged_records(rng: Random, event: str) -> _Made:
    return damaged_bytes(rng, _good(event, 5)), 5, _any_codec(rng)


def _damaged_frames(rng: Random, event: str) -> _Made:
    compression = rng.randrange(1, 5)
    packed = COMPRESS[compression](_good(event, 20))
    return bytearray(damaged_bytes(rng, packed)), 20, compression


def _damaged_values(rng: Random, event: str) -> _Made:
    values = [event_value(event, n) for n in range(8)]
    for at in rng.sample(range(8), rng.choice((1, 2, 8))):
        values[at] = values[at][:5] + damaged_bytes(rng, values[at][5:])
    return b"".join(record_of(n, value) for n, value in enumerate(values)), 8, _any_codec(rng)


def _huge_lengths(rng: Random, event: str) -> _Made:
    body = event_value(event, 0)
    at = rng.randrange(5, len(body))
    bad = body[:at] + rng.choice((_HUGE, b"\xff" * 40, b"\x80" * 100_000)) + body[at:]
    values = [event_value(event, 1), bad, event_value(event, 2)]
    return b"".join(record_of(n, value) for n, value in enumerate(values)), 3, _any_codec(rng)


def _huge_framing(rng: Random, event: str) -> _Made:
    records = [record_of(n, event_value(event, n)) for n in range(4)]
    at = rng.randrange(4)
    place = rng.randrange(1, 5)
    records[at] = records[at][:place] + rng.choice((_HUGE, b"\x80" * 1_000)) + records[at][place:]
    return b"".join(records), 4, _any_codec(rng)


def _mixed(rng: Random, event: str) -> _Made:
    values = [
        event_value(event, 0),
        None,
        b"",
        b'{"id": "j", "user_id": "ada", "time": 1}',
        b"[" * 5_000,
        b"{" * 5_000,
        event_value(rng.choice(EVENTS), 1),
        rng.randbytes(40),
        b"\x00\xff\xff\xff\xff" + rng.randbytes(20),
    ]
    rng.shuffle(values)
    payload = b"".join(
        record_of(n, value, rng.choice((None, b"", b"k", b"\xff")))
        for n, value in enumerate(values)
    )
    return payload, len(values), _any_codec(rng)


def _offsets(rng: Random, event: str) -> _Made:
    offsets = rng.choice(((0, 0, 1), (2, 1, 0), (-1, 0, 1), (0, 1, 2**31), (0, 1, 2**40)))
    payload = b"".join(record_of(n, event_value(event, n)) for n in offsets)
    return payload, 3, _any_codec(rng)


def _within_records(rng: Random, event: str) -> _Made:
    behind = rng.choice((b"\0", b"\0\0", b"garbage"))
    payload = record_of(0, event_value(event, 0), behind=behind) + record_of(
        1, event_value(event, 1)
    )
    return payload, 2, _any_codec(rng)


def _no_codec(rng: Random, event: str) -> _Made:
    return bytearray(_good(event, 2)), 2, rng.choice((5, 6, 7))


KINDS: Mapping[str, Callable[[Random, str], _Made]] = {
    "header bomb": _header_bomb,
    "zeros": _zeros,
    "large values": _large_values,
    "tiny records": _tiny_records,
    "bytes behind": _bytes_behind,
    "second frame": _second_frame,
    "records behind": _records_behind,
    "false count": _false_count,
    "damaged records": _damaged_records,
    "damaged frames": _damaged_frames,
    "damaged values": _damaged_values,
    "huge lengths": _huge_lengths,
    "huge framing": _huge_framing,
    "mixed": _mixed,
    "offsets": _offsets,
    "within records": _within_records,
    "no codec": _no_codec,
}
"""How a batch of each kind is made."""
