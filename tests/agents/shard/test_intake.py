"""Decoded parts become deltas or, if they are large, segments; no row is lost."""

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from agents.shard.deltas import HASHES, ROWS
from agents.shard.intake import DecodedPart, FetchParts, Intake
from agents.shard.jobs.context import ShardContext
from agents.views.state_view import StateView
from schemas.decode.batch import RecordBatch, SealedBatch, seal_batches
from schemas.records import codec
from schemas.segment.codec import decode
from schemas.tables.fold import fold
from schemas.tables.profile import PROFILE, wide
from streams.kafka.environment import Environment
from streams.settings import load
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.state.state_store import shared_cache
from streams.state.store import Store
from tests.rigs.record_batches import CODECS, NOW, Produced, batch


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    settings = load(
        {"partitions": 1, "prefix": "t.", "step_bytes": 200_000, "data_dir": tmp_path}, env={}
    )
    store = Store(Environment.of(settings), 0, tmp_path, shared_cache(1_000_000))
    return Intake(ShardContext(Environment.of(settings), 0, store, StateView()))


def sends(count: int, first: int = 0) -> RecordBatch:
    values = [
        codec.encode(
            "send",
            {"id": f"id{n}", "user_id": f"u{n % 7}", "time": NOW + n, "campaign_id": f"c{n % 3}"},
        )
        for n in range(first, first + count)
    ]
    produced = [Produced(value) for value in values]
    return batch(produced, topic="t.interactions.send", partition=0, base_offset=first)


def decoded(intake: Intake, count: int = 100) -> DecodedPart:
    return intake.decode([sends(count)], last=True)


def test_few_rows_are_deltas(intake: Intake) -> None:
    laid = intake.lay_out(decoded(intake), direct_rows=101)

    assert not laid.puts
    assert {part.letter for part in laid.parts} == {ROWS, auxiliary.COUNTS.delta, HASHES}
    assert laid.sources == {"campaign:c0": 34, "campaign:c1": 33, "campaign:c2": 33}


def test_many_rows_are_segments_at_once(intake: Intake) -> None:
    taken = decoded(intake)
    laid = intake.lay_out(taken, direct_rows=100)

    assert {part.letter for part in laid.parts} == {auxiliary.COUNTS.delta, HASHES}
    stored = [decode(value) for key, value in laid.puts if value and keys.kind(key) == b"s"]
    rows = pl.concat(stored)
    folded = fold(taken.ingested.interactions)
    sourced = rows.filter(pl.col("source") != PROFILE)
    assert_frame_equal(sourced, folded, check_row_order=False)
    profile = rows.filter(pl.col("source") == PROFILE)
    assert_frame_equal(profile, wide(folded), check_row_order=False)
    assert laid.sources == {"campaign:c0": 34, "campaign:c1": 33, "campaign:c2": 33}


def sealed(batches: Sequence[RecordBatch]) -> list[SealedBatch]:
    found = [list(seal_batches(one.wire, one.topic, one.partition)) for one in batches]
    return [batch for ((_, batch),) in found if batch is not None]


def opened(fetch: FetchParts) -> list[list[RecordBatch]]:
    parts = []
    while fetch.left:
        parts.append(fetch.opened())
    return parts


def test_what_a_fetch_brought_is_cut_evenly_within_the_bytes_of_a_step(intake: Intake) -> None:
    batches = [sends(100, first=100 * n) for n in range(33)]

    groups = opened(intake.parts(sealed(batches)))

    assert [one for group in groups for one in group] == batches
    weights = [sum(one.count * 128 for one in group) for group in groups]
    assert max(weights) <= 200_000
    assert len(weights) > 1
    assert min(weights) > 0.7 * max(weights)
    assert opened(intake.parts([])) == []


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "none"])
def test_many_bombs_at_once_take_the_space_of_one_part(intake: Intake, codec: str) -> None:
    """40 batches of some kilobytes that become 600 kB each: 24 MB, of which 1 MB is open."""
    bomb = batch([Produced(bytes(600_000))], topic="t.interactions.send", codec=CODECS[codec])
    fetch = intake.parts(sealed([bomb]) * 40)
    events = 0
    tracemalloc.start()
    try:
        while fetch.left:
            part = intake.decode_next(fetch)
            events += len(part.ingested.rejects)
            del part
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert events == 40


def test_a_batch_above_the_setting_is_rejected_as_a_whole_with_its_bytes(intake: Intake) -> None:
    good = sends(10)
    values = [bytes(850_000)] * 20
    bomb = batch([Produced(v) for v in values], topic=good.topic, base_offset=50, codec=4)
    fetch = intake.parts(sealed([good, bomb, sends(10, first=100)]))
    part = intake.decode_next(fetch)
    assert not fetch.left
    assert part.ingested.events == 20
    assert part.cursor == {good.topic: 110}
    (reject,) = part.ingested.rejects
    assert (reject.code, reject.offset, reject.key) == ("too_large", 50, None)
    assert reject.value == bomb.wire
    assert "20 records up to offset 69" in reject.detail
