"""The least input of each defect that fuzzing has found: one refusal each, at once."""

import io
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest

from agents.coordinator import log as coordinator_log
from agents.filters.errors import FilterError
from agents.filters.parsing import parse_text
from agents.http.body import parsed
from agents.shard import analytics
from agents.tools.import_files import batches
from agents.tools.import_journal import ImportPosition
from schemas.decode.batch import CorruptBatch, RecordBatch, seal_batches
from schemas.decode.batch_records import CorruptRecords
from schemas.errors import CorruptSegment, Fatal
from schemas.records.codec import Undecodable, decode
from schemas.segment import codec
from schemas.segment.index import SegmentIndex, build
from streams.kafka.foreign_records import whole_records_of
from streams.state import foreign_entries, keys, pieces
from streams.state.archive_check import ArchivedSegment, WantedSegments
from streams.state.hot_table import ManifestEntry
from streams.user_index import block
from tests.rigs.hostile.batches import wire_of
from tests.rigs.interaction_rows import frame_of
from tests.rigs.record_batches import NOW, Produced, batch

ID = "0" * 24
SOURCE = "campaign:a"
SEND = '{"id": "e", "user_id": "u", "time": %d, "campaign_id": "a"%s}'


def segment() -> tuple[bytes, SegmentIndex]:
    rows = [(SOURCE, f"u{n}", "received", "EMAIL", None, "v", None, n, n) for n in range(3)]
    frame = frame_of(rows)
    data = codec.encode(frame)
    return data, build(ID, 0, frame, data)


def index_of(**changed: Any) -> bytes:
    return orjson.dumps({**orjson.loads(segment()[1].to_json()), **changed})


@pytest.mark.parametrize(
    "more",
    [
        ', "campaign_id": "b"',
        ', "more": {"x": 1, "x": 2}',
        ', "more": NaN',
        ', "more": [-Infinity]',
        ', "more": ' + "[" * 5_000 + "]" * 5_000,
        ', "more": ' + "[" * 600 + "]" * 600,
        ', "more": ' + '{"a": [' * 300 + "]}" * 300,
    ],
)
def test_json_that_two_readers_understand_differently_is_rejected(more: str) -> None:
    assert decode((SEND % (NOW, "")).encode(), "send")
    with pytest.raises(Undecodable) as refused:
        decode((SEND % (NOW, more)).encode(), "send")
    assert refused.value.code == "bad_json"


@pytest.mark.parametrize("more", ["[" * 400 + "]" * 400, "[" + ",".join(["[[]]"] * 400) + "]"])
def test_json_with_many_lists_that_are_not_deep_is_read(more: str) -> None:
    assert decode((SEND % (NOW, f', "more": {more}')).encode(), "send")


@pytest.mark.parametrize("text", ['{"limit": 1, "limit": 2}', '{"a": [{"b": 1, "b": 2}]}'])
def test_a_body_with_a_name_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a name occurs twice"):
        parsed(text.encode())


def test_a_filter_with_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(FilterError):
        parse_text('{"filter": "of_the_platform", "value": NaN}', opaque=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (keys.index(ID), {"sources": SOURCE}),
        (keys.index(ID), {"sources": {SOURCE: "3"}}),
        (keys.index(ID), {"rows": -1}),
        (keys.index(ID), {"low": [1, 2]}),
    ],
)
def test_an_index_of_other_types_is_a_foreign_entry(key: bytes, value: dict[str, Any]) -> None:
    assert foreign_entries.fault(key, index_of()) is None
    assert foreign_entries.fault(key, index_of(**value)) is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (
            keys.manifest_entry(SOURCE, ID),
            {"offset": 1, "rows": 1.5, "bytes": 1, "checksum": "c", "epoch": 1},
        ),
        (
            keys.manifest_entry(SOURCE, ID),
            {"offset": 1, "rows": 1, "bytes": 1, "checksum": None, "epoch": 1},
        ),
        (keys.applied(SOURCE), {"version": 1, "state": []}),
        (keys.ORIGIN, {"incarnation": "i", "partitions": "4", "format": 2}),
    ],
)
def test_values_of_other_types_are_foreign_entries(key: bytes, value: dict[str, Any]) -> None:
    assert foreign_entries.fault(key, json.dumps(value).encode()) is not None


def test_a_number_of_pieces_is_not_believed() -> None:
    # a restore deletes each of them: it would have made four billion tombstones
    for count in (0, 1 << 20, 0xFFFF_FFFF):
        data = struct.pack(">cI", b"+", count) + b"x"
        assert foreign_entries.fault(keys.uniques(SOURCE), data) is not None
    assert foreign_entries.fault(keys.uniques(SOURCE), pieces.headed(b"x", 3)) is None


@pytest.mark.parametrize(
    "data", [b"", b"garbage", zlib.compress(b"{}"), zlib.compress(b"[1]"), zlib.compress(b"[" * 99)]
)
def test_numbers_of_users_that_cannot_be_read_are_damage(data: bytes) -> None:
    with pytest.raises(CorruptSegment):
        analytics.unpack([data])


def test_numbers_of_users_become_only_so_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "_UNPACKED_BYTES", 1_000)
    with pytest.raises(CorruptSegment, match="no end within"):
        analytics.unpack([zlib.compress(b" " * 2_000 + b"[]")])


def test_a_block_that_claims_to_be_giant_is_not_allocated() -> None:
    data = (0xFFFF_FFF0).to_bytes(4, "little") + b"\x10" + bytes(20)
    with pytest.raises(block.CorruptBlock, match="larger than it can"):
        block.decode(data)


@pytest.mark.parametrize(
    "index",
    [None, b"", b"[]", b"{}", b"\xff", index_of(checksum=""), index_of(id="1" * 24)],
)
def test_an_archived_record_without_its_index_gets_it_from_its_bytes(index: bytes | None) -> None:
    data, good = segment()
    entry = ManifestEntry(0, good.rows, good.bytes, good.checksum, 1)
    headers = [("segment", ID.encode()), ("index", index)]
    wanted = WantedSegments(("t", 0), {ID: entry}, {})
    (found,) = wanted.of_batch(batch([Produced(data, b"", headers=headers)], topic="t"))
    assert isinstance(found, ArchivedSegment)
    assert (found.index, found.data) == (good, data)


def test_a_batch_of_another_program_that_cannot_be_read_stops_no_reader_of_ours() -> None:
    wire = wire_of(zlib.compress(b"x"), 1, 1, 0)
    [(_, sealed_batch)] = seal_batches(wire, "t", 0)
    assert sealed_batch is not None
    found: RecordBatch = sealed_batch.opened()
    assert found.fault is not None
    assert whole_records_of(found) == []
    in_transaction = bytearray(wire)
    in_transaction[22] |= 0x10
    [(_, of_ours)] = seal_batches(bytes(in_transaction), "t", 0, check_crc=False)
    assert of_ours is not None
    with pytest.raises(CorruptRecords):
        whole_records_of(of_ours.opened())


@pytest.mark.parametrize(("base", "last"), [(0, -1), (5, -(2**31)), (2**63 - 2, 1), (-1, 0)])
def test_offsets_beyond_all_numbers_are_no_batch(base: int, last: int) -> None:
    wire = bytearray(wire_of(b"", 0, 0, 0))
    struct.pack_into(">q", wire, 0, base)
    struct.pack_into(">i", wire, 23, last)
    with pytest.raises(CorruptBatch, match="last offset"):
        list(seal_batches(bytes(wire), "t", 0, check_crc=False))


def test_a_giant_set_of_partitions_in_the_coordinators_log_is_refused_at_once() -> None:
    origin = {"why": "retention", "at": 1}
    work = {"origin": origin, "started_at": 1, "deadline": 2}

    def fault(bits: str) -> str | None:
        record = {"source": SOURCE, "state": "EXPIRING", "work": {**work, "reported": bits}}
        return coordinator_log._fault(f"s/{SOURCE}", json.dumps(record).encode())

    began = time.process_time()
    assert fault("f" * 900_000) is not None
    assert fault("f" * 25_000) is None
    assert time.process_time() - began < 2.0


def test_a_sweep_with_an_endless_time_is_a_foreign_record() -> None:
    value = b'{"question": "q", "approved_to": [Infinity, "campaign:a"]}'
    assert coordinator_log._fault("w", value) is not None


def test_a_container_of_records_without_bytes_ends(tmp_path: Path) -> None:
    schema: dict[str, Any] = {
        "type": "record",
        "name": "Send",
        "fields": [{"name": "n", "type": "null"}],
    }
    out = io.BytesIO()
    fastavro.writer(out, schema, [{"n": None}] * 9)
    # one byte says how many records the block has, then two their size and the marker
    data = out.getvalue()
    at = len(data) - 16 - 2
    giant = b"\xfe" + b"\xff" * 7 + b"\x01"
    file = tmp_path / "events.avro"
    file.write_bytes(data[:at] + giant + data[at + 1 :])
    with pytest.raises(Fatal, match="take no bytes"):
        list(batches(file, None, ImportPosition()))
