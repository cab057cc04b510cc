"""What counts as an acknowledgement of the group, and from which time."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.group.membership import SESSION_S, Assigned, Membership
from streams.group.shard_plan import Directory
from streams.settings import load


class Group:
    """The transport's side, as a test has it."""

    generation = 3

    def rejoin(self) -> None: ...

    async def tell(self, offsets: Mapping[tuple[str, int], int]) -> None: ...


class Bench:
    def __init__(self, folder: Path) -> None:
        self.now = 100.0
        self.told: list[float] = []
        self.group = Group()
        self.membership = Membership(
            load({"data_dir": folder}, env={}, file=folder / "none.toml"),
            ["events"],
            "control",
            address=lambda: "",
            on_assigned=self.assigned,
            on_failed=lambda error: None,
            now=lambda: self.now,
        )
        self.membership.heard(self.now)
        self.membership.attach(self.group)

    async def assigned(self, assigned: Assigned) -> None:
        """What runs here is told: until then the assignment does not count."""
        self.told.append(self.membership.silent_s())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def assigned(generation: int) -> Assigned:
    return Assigned(frozenset({0}), False, generation, Directory())


async def test_an_assignment_counts_once_the_shard_manager_has_it(bench: Bench) -> None:
    bench.now += 6
    await bench.membership.assigned(assigned(3), bench.now)
    assert bench.told == [6.0]
    assert bench.membership.silent_s() == 0


async def test_nothing_is_held_in_a_generation_that_the_host_does_not_know(bench: Bench) -> None:
    membership = bench.membership
    await membership.assigned(assigned(3), bench.now)
    bench.group.generation = 4
    membership.heard(bench.now)  # a heartbeat of the new generation, which comes first
    assert membership.silent_s() == float("inf")
    await membership.assigned(assigned(4), bench.now)
    assert membership.silent_s() == 0
    bench.group.generation = -1
    assert membership.silent_s() == float("inf"), "it is in no group"


def test_a_long_silence_is_remembered_when_it_is_over(bench: Bench) -> None:
    membership = bench.membership
    membership.heard(bench.now + SESSION_S - 0.1)
    assert membership.lapses == 0
    membership.heard(bench.now + 2 * SESSION_S)
    assert membership.lapses == 1
    membership.disowned()
    membership.heard(bench.now + 2 * SESSION_S)
    assert membership.lapses == 2
