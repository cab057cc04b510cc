"""Readers of what producers write: record batches, and single records of every schema."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.record.util import calc_crc32c
from hypothesis import strategies as st

from schemas.decode.batch import CorruptBatch, parse_batches, seal_batches
from schemas.decode.batch_records import CorruptRecords, RecordBatch, chunks, proven, unpack
from schemas.decode.compression import decompress
from schemas.decode.ingest import ingest
from schemas.decode.reject import Reject
from schemas.decode.users import take_users
from schemas.decode.wire import HEADER, LENGTH_END
from schemas.records import codec
from schemas.records.registry import FILES
from schemas.records.undecodable import Undecodable
from streams.kafka.topic_specs import EVENTS, Topics
from tests.rigs.hostile.batches import COMPRESS, record_of
from tests.rigs.hostile.fuzz.damage import broken_json, damaged
from tests.rigs.hostile.fuzz.target import Target
from tests.rigs.record_batches import NOW, Produced, batch, wire

__all__ = ["GOOD", "TARGETS"]

TOPICS = Topics("f-")
LIMIT = 2_000_000
_EVENT = {"id": "e", "user_id": "ada", "time": NOW, "campaign_id": "a"}
GOOD: dict[str, list[dict[str, object]]] = {
    **{event: [_EVENT, {**_EVENT, "campaign_id": None, "canvas_id": "j"}] for event in EVENTS},
    "signal": [{"id": "s", "user_id": "ada", "time": NOW, "signal_type": "FEED_VIEW"}],
    "user": [{"user_id": "ada", "external_user_id": "x", "aliases": ["b", "c"]}],
    "definition": [
        {
            "key": "campaign:a",
            "kind": "campaign",
            "name": "A",
            "status": "ACTIVE",
            "tags": ["t"],
            "filters": '{"filter": "received_from_campaign", "campaign": "b"}',
            "references": ["canvas:b"],
            "variations": [{"id": "v", "name": "V"}],
            "updated_at": NOW,
        }
    ],
    "command": [
        {"type": "restore", "sources": ["campaign:a"], "request_id": "r", "reason": "why"},
        {"type": "hold", "tag": "t"},
    ],
    "report": [
        {
            "partition": 0,
            "time": NOW,
            "items": [
                {"source": "campaign:a", "version": 1, "phase": "expired", "checksum": "0" * 32}
            ],
        }
    ],
}
"""Good records of every schema that others write."""
_ENCODED = {name: [codec.encode(name, one) for one in good] for name, good in GOOD.items()}


class _Batch(NamedTuple):
    event: str
    wire: bytes


@st.composite
def _batches(draw: st.DrawFn) -> _Batch:
    """A batch of good and damaged records, with damage to its frames, its compressed bytes and its
    header; its checksum is right."""
    event = draw(st.sampled_from((*EVENTS, "user")))
    good = _ENCODED[event]
    values = st.one_of(
        st.sampled_from(good),
        damaged(good),
        broken_json(GOOD[event]),
        st.none(),
        damaged(_ENCODED["send"]),
    )
    made = draw(st.lists(values, max_size=6))
    payload = b"".join(
        record_of(
            draw(st.sampled_from((number, number, number, 0, -1, 2**31))),
            value,
            draw(st.sampled_from((b"ada", b"ada", None, b"", b"\xff"))),
            draw(st.sampled_from((0, 0, 0, 1, 70, 3_000))),
        )
        for number, value in enumerate(made)
    )
    if draw(st.integers(0, 2)) == 0:
        payload = draw(damaged([payload, bytes(200_000)]))
    kind = draw(st.sampled_from((0, 0, 1, 2, 3, 4, 5)))
    packed = COMPRESS.get(kind, bytes)(payload)
    if draw(st.integers(0, 3)) == 0:
        packed = draw(damaged([packed]))
    size = HEADER.size - LENGTH_END + len(packed)
    odd = draw(st.integers(0, 5)) == 0
    numbers = st.sampled_from((0, 1, -1, 2**31 - 1, -(2**31), 1_000))
    count = draw(numbers) if odd else len(made)
    last = draw(numbers) if odd else max(0, len(made) - 1)
    times = st.sampled_from((NOW, NOW, 0, -1, 2**63 - 1, -(2**63)))
    head = HEADER.pack(
        draw(st.sampled_from((0, 7, 2**62))),
        size,
        0,
        2,
        0,
        kind | draw(st.sampled_from((0, 0, 8, 0x10, 0x20, 0x7FC0))),
        last,
        draw(times),
        draw(times),
        *(-1, -1, -1),
        count,
    )
    raw = bytearray(head + packed)
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return _Batch(event, bytes(raw))


def _take_batch(made: _Batch) -> None:
    """Every record is a row, a forward or a reject, and the good ones beside it are rows."""
    topic = TOPICS.users if made.event == "user" else TOPICS.event(made.event)
    try:
        [(_, found)] = parse_batches(made.wire, topic, 0, limit=LIMIT)
    except CorruptBatch:
        return
    if found is None:
        return
    _walk(found)
    if made.event == "user":
        rows = take_users([found], 0, 2, 0, TOPICS.inputs)
        forwarded = sum(len(to.records) for to in rows.forwards)
        _weighed(found, rows.rows.height + forwarded, rows.rejects)
    else:
        good = batch([Produced(_ENCODED["send"][0])], topic=TOPICS.event("send"))
        taken = ingest([found, good], 0, 1, TOPICS.inputs)
        _weighed(found, taken.events - 1, taken.rejects)


def _walk(found: RecordBatch) -> None:
    try:
        records = unpack(found)
    except CorruptRecords:
        return
    assert len(records) == found.count
    assert unpack(proven(found)) == records
    assert [one for part in chunks(found) for one in part] == records


def _weighed(found: RecordBatch, taken: int, rejects: Sequence[Reject]) -> None:
    """One reject for each record that is not taken, or one for many of the batch."""
    if any("a batch of" in one.detail for one in rejects):
        assert len(rejects) == 1
        assert 0 <= taken < found.count
    else:
        assert taken + len(rejects) == found.count


def _take_wire(raw: bytes) -> None:
    """Bytes of a fetch response: whole batches, or an error that names the place."""
    try:
        for _, found in seal_batches(raw, "t", 0):
            if found is not None:
                found.opened(LIMIT)
        for _, found in seal_batches(raw, "t", 0, check_crc=False):
            if found is not None:
                _walk(found.opened(LIMIT))
    except CorruptBatch:
        return


def _good_wires() -> list[bytes]:
    records = [Produced(value) for value in _ENCODED["send"] * 3]
    return [wire(records, codec=kind) for kind in range(5)]


def _take_compressed(made: tuple[int, bytes]) -> None:
    """At most `LIMIT` bytes, or a reject."""
    kind, data = made
    try:
        assert len(decompress(data, kind, LIMIT)) <= LIMIT
    except Undecodable as error:
        refused = error.code
    else:
        refused = "undecodable"
    assert refused in ("undecodable", "too_large")


_PLAIN = (b"", b"a" * 50, bytes(3_000), bytes(range(256)) * 40, bytes(4_000_000))
_COMPRESSED = st.sampled_from((1, 2, 3, 4)).flatmap(
    lambda kind: st.tuples(
        st.just(kind), damaged([bytes(COMPRESS[kind](plain)) for plain in _PLAIN])
    )
)


def _take_record(made: tuple[str, bytes]) -> None:
    """A record of the schema, or a reject with a code; whatever is read can be written again."""
    name, data = made
    try:
        record = codec.decode(data, name, FILES)
    except Undecodable:
        return
    codec.encode(name, record)


_RECORDS = st.sampled_from(sorted(GOOD)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.one_of(damaged(_ENCODED[name] + _ENCODED["command"]), broken_json(GOOD[name])),
    )
)

TARGETS = {
    "record-batches": Target(_batches(), _take_batch, 40),
    "fetched-bytes": Target(damaged(_good_wires()), _take_wire, 40),
    "compressed-records": Target(_COMPRESSED, _take_compressed, 40),
    "single-records": Target(_RECORDS, _take_record, 60),
}
