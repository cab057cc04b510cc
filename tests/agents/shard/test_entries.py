"""Entries and reports that grow with their content: each still fits into its record."""

import json
import secrets
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agents.shard.analytics import Rows, pack, unpack
from agents.shard.jobs.context import ShardContext
from agents.views.state_view import StateView
from schemas.records import codec
from schemas.segment.index import SegmentIndex
from schemas.tables.interaction import SCHEMA
from streams.kafka.environment import Environment
from streams.kafka.step import MAX_BATCH_BYTES
from streams.settings import load
from streams.state import compaction_plan, keys, pieces
from streams.state.hot_table import HotTable
from streams.state.state_store import shared_cache
from streams.state.store import Store


def variations(count: int) -> Rows:
    return [["received", "EMAIL", None, secrets.token_hex(16), n] for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 60_000])
def test_the_users_of_any_number_of_variations_fit_and_come_back(count: int) -> None:
    found = variations(count)
    packed = pack(found)
    assert max(map(len, packed)) < MAX_BATCH_BYTES - 10_000
    assert len(packed) == (1 if count < 60_000 else 2)
    assert pieces.count(packed[0]) == len(packed)
    assert unpack(packed) == found
    table = HotTable()
    table.apply([(keys.uniques_piece("canvas:a/b", n), data) for n, data in enumerate(packed)])
    assert table.uniques == {"canvas:a/b": len(packed)}


def test_numbers_of_a_former_version_are_one_piece() -> None:
    found = variations(3)
    former = zlib.compress(json.dumps(found).encode())
    assert pieces.count(former) == 1
    assert unpack([former]) == found


def test_a_report_of_many_sources_with_long_names_is_several(tmp_path: Path) -> None:
    settings = load({"data_dir": tmp_path}, env={})
    store = Store(Environment.of(settings), 0, tmp_path, shared_cache(1_000_000))
    context = ShardContext(Environment.of(settings), 0, store, StateView())
    names = [f"campaign:{n:05d}" + "é" * 4_990 for n in range(300)] + ["campaign:short"] * 1_500

    records = context.reports({"source": n, "version": 1, "phase": "seen"} for n in names)

    assert max(len(r.key or b"") + len(r.value or b"") for r in records) < MAX_BATCH_BYTES - 10_000
    items: list[Any] = [codec.decode(record.value or b"", "report")["items"] for record in records]
    assert [item["source"] for some in items for item in some] == names
    assert max(map(len, items)) <= 1_000


def test_a_segment_and_its_index_fit_one_record_of_the_archive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compaction_plan, "_ARCHIVED_BYTES", 20_000)
    count = 1_000
    fields = {
        "source": ["campaign:" + "\x01" * 500] * count,
        "user": [secrets.token_hex(12) for _ in range(count)],
        "kind": ["received"] * count,
        "channel": ["EMAIL"] * count,
        "first": range(count),
        "last": range(count),
    }
    nothing = {name: [None] * count for name in SCHEMA if name not in fields}
    frame = pl.DataFrame(fields | nothing, schema=SCHEMA)
    limits = compaction_plan.SegmentLimits(rows=10_000, bytes=18_000, own_rows=100)

    puts = dict(compaction_plan.store(frame, 0, lambda: secrets.token_hex(12), limits))

    told = [value for key, value in puts.items() if keys.kind(key) == b"i"]
    assert sum(SegmentIndex.from_json(value or b"").rows for value in told) == count
    for value in told:
        index = SegmentIndex.from_json(value or b"")
        assert len(value or b"") + len(puts[keys.segment(index.id)] or b"") <= 20_000
