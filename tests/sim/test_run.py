"""A run hides nothing: what a fault fails of, and what Polars leaves open."""

from random import Random

import polars as pl
import pytest

from tests.sim.faults import FAULTS
from tests.sim.frames import frames_repeat
from tests.sim.plan import RunPlan
from tests.sim.run import run
from tests.sim.world import World

SMALL = '{"workers":1,"partitions":1,"events":3,"questions":0,"busy_s":5.0,"faults":["broken"]}'


def test_a_fault_that_fails_fails_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(world: World, random: Random) -> None:
        raise OSError("a folder could not be copied")

    monkeypatch.setitem(FAULTS, "broken", broken)
    outcome = run(RunPlan.changed(3, SMALL))
    assert "a folder could not be copied" in outcome.error


def test_every_promise_is_kept_while_partitions_change_their_leaders() -> None:
    outcome = run(RunPlan.changed(39, '{"faults":["leaders"]}'))
    assert not outcome.error
    assert outcome.reached["log: leader_change"] > 3


def test_groups_and_unique_values_are_always_in_the_same_order() -> None:
    frame = pl.DataFrame({"user": [f"user-{n * 7 % 20}" for n in range(40)], "n": range(40)})

    def orders() -> list[list[str]]:
        return [
            frame.group_by("user").agg(pl.col("n").sum())["user"].to_list(),
            frame.lazy().group_by("user").agg(pl.col("n").sum()).collect()["user"].to_list(),
            frame.group_by("user").len()["user"].to_list(),
            frame.unique("user")["user"].to_list(),
            frame.lazy().unique("user").collect()["user"].to_list(),
            frame["user"].unique().to_list(),
            frame.select(pl.col("user").unique())["user"].to_list(),
            frame["user"].value_counts()["user"].to_list(),
        ]

    with frames_repeat():
        first = orders()
        assert all(orders() == first for _ in range(20))
    assert all(sorted(order) == sorted(first[0]) for order in orders())
