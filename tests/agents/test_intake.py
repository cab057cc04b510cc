"""Decoded parts become deltas or, where they are large, segments; nothing is lost on the way."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from agents.deltas import HASHES, ROWS
from agents.intake import Decoded, Intake
from agents.state_view import StateView
from agents.work.context import Context
from schemas import codec
from schemas.batch import RawBatch
from schemas.fold import fold
from schemas.profile import PROFILE, wide
from schemas.segment import decode
from streams import keys, side
from streams.clock import SystemClock
from streams.mirror import shared_cache
from streams.settings import load
from streams.store import Store
from tests.schemas.record_batches import NOW, Produced, batch


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    settings = load(
        {"partitions": 1, "prefix": "t.", "step_bytes": 200_000, "data_dir": tmp_path}, env={}
    )
    store = Store(settings, 0, tmp_path, shared_cache(1_000_000))
    return Intake(Context(settings, 0, store, StateView(), SystemClock()))


def sends(count: int, first: int = 0) -> RawBatch:
    values = [
        codec.encode(
            "send",
            {"id": f"id{n}", "user_id": f"u{n % 7}", "time": NOW + n, "campaign_id": f"c{n % 3}"},
        )
        for n in range(first, first + count)
    ]
    produced = [Produced(value) for value in values]
    return batch(produced, topic="t.interactions.send", partition=0, base_offset=first)


def decoded(intake: Intake, count: int = 100) -> Decoded:
    return intake.decode([sends(count)], last=True)


def test_few_rows_are_deltas(intake: Intake) -> None:
    laid = intake.lay_out(decoded(intake), direct_rows=101)

    assert not laid.puts
    assert {part.letter for part in laid.parts} == {ROWS, side.COUNTS.delta, HASHES}
    assert laid.sources == {"campaign:c0": 34, "campaign:c1": 33, "campaign:c2": 33}


def test_many_rows_are_segments_at_once(intake: Intake) -> None:
    taken = decoded(intake)
    laid = intake.lay_out(taken, direct_rows=100)

    assert {part.letter for part in laid.parts} == {side.COUNTS.delta, HASHES}
    stored = [decode(value) for key, value in laid.puts if value and keys.kind(key) == b"s"]
    rows = pl.concat(stored)
    folded = fold(taken.ingested.interactions)
    sourced = rows.filter(pl.col("source") != PROFILE)
    assert_frame_equal(sourced, folded, check_row_order=False)
    profile = rows.filter(pl.col("source") == PROFILE)
    assert_frame_equal(profile, wide(folded), check_row_order=False)
    assert laid.sources == {"campaign:c0": 34, "campaign:c1": 33, "campaign:c2": 33}


def test_what_a_fetch_brought_is_cut_evenly_within_the_bytes_of_a_step(intake: Intake) -> None:
    batches = [sends(100, first=100 * n) for n in range(33)]

    groups = intake.groups(batches)

    assert [one for group in groups for one in group] == batches
    weights = [sum(len(one.payload) for one in group) for group in groups]
    assert max(weights) <= 200_000
    assert len(weights) > 1
    assert min(weights) > 0.7 * max(weights)
    assert intake.groups([]) == []
