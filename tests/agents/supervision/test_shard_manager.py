import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from agents.shard.ownership import Ownership
from agents.supervision import supervisor as supervisor
from agents.supervision.shard_manager import Actors, Deliver, NotHeld, ShardManager
from schemas.errors import Fatal, Recoverable
from streams.group.membership import SESSION_S
from streams.group.shard_plan import Directory
from streams.kafka.log import Fenced
from tests.rigs.dummies import DummyShard, Open, until


class Slow(DummyShard):
    """Ends slowly after a cancellation."""

    def __init__(self, partition: int, lets_go: asyncio.Event, log: list[str]) -> None:
        super().__init__(partition)
        self.lets_go = lets_go
        self.log = log

    async def run(self) -> None:
        self.log.append("taken")
        try:
            await super().run()
        finally:
            await self.lets_go.wait()
            self.log.append("let go")


class Bench:
    """A manager and what it asked for."""

    def __init__(self, make: Callable[[int], DummyShard] = DummyShard) -> None:
        self.made: list[DummyShard] = []
        self.coordinators: list[DummyShard] = []
        self.notifiers: list[DummyShard] = []
        self.rejoins = 0
        self.silent_s = 0.0
        self.ownership = Ownership()
        self.ownership.silent_s = lambda: self.silent_s
        self.failed: list[BaseException] = []
        self._make = make
        self.manager = ShardManager(
            Actors(
                *(Open(), self._shard, self._coordinator, {"notifier": self._notifier}),
                ownership=self.ownership,
            ),
            deliver=self._deliver,
            request_rejoin=self._rejoin,
            on_failed=self.failed.append,
        )

    async def assign(self, generation: int, *partitions: int, control: bool = False) -> None:
        await self.manager.assigned(frozenset(partitions), control, generation, Directory())

    @property
    def ready(self) -> set[int]:
        return {p for p, shard in self.manager.shards.items() if shard and shard.ready}

    def _shard(self, partition: int, deliver: Deliver) -> DummyShard:
        self.made.append(self._make(partition))
        return self.made[-1]

    def _coordinator(self) -> DummyShard:
        self.coordinators.append(DummyShard(-1))
        return self.coordinators[-1]

    def _notifier(self) -> DummyShard:
        self.notifiers.append(DummyShard(-2))
        return self.notifiers[-1]

    async def _deliver(self, shard: object, fetched: object) -> None:
        raise AssertionError("nothing is fetched here")

    def _rejoin(self) -> None:
        self.rejoins += 1


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.manager.stop()


async def test_assignments_start_keep_and_leave(bench: Bench) -> None:
    assert not bench.manager.ready
    await bench.assign(1, 0, 1, control=True)
    await until(lambda: bench.ready == {0, 1} and bench.coordinators)
    assert bench.manager.ready
    kept = bench.manager.shards[1]
    await bench.assign(2, 1, 2)
    await until(lambda: bench.ready == {1, 2})
    assert bench.manager.shards[1] is kept
    assert not bench.manager.coordinates
    await until(lambda: not bench.coordinators[0].ready and not bench.made[0].ready)
    await bench.assign(3)
    assert bench.manager.ready
    await bench.manager.stop()
    assert not any(shard.ready for shard in bench.made)
    assert bench.failed == []


async def test_the_notifier_runs_where_the_coordinator_runs_and_neither_ends_the_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    await bench.assign(1, 0)
    assert bench.notifiers == []
    await bench.assign(2, 0, control=True)
    await until(lambda: bench.coordinators and bench.notifiers and bench.notifiers[0].ready)
    bench.notifiers[0].ends.set_result(Recoverable("no broker"))
    await until(lambda: len(bench.notifiers) == 2 and bench.notifiers[1].ready)
    assert len(bench.coordinators) == 1
    assert bench.coordinators[0].ready
    await bench.assign(3, 0)
    await until(lambda: not bench.notifiers[1].ready and not bench.coordinators[0].ready)
    assert not bench.manager.coordinates


async def test_recoverable_starts_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    await bench.assign(1, 0)
    for lives in (1, 2, 3):
        await until(lambda lives=lives: len(bench.made) == lives and bench.ready)  # type: ignore[misc]
        bench.made[-1].ends.set_result(Recoverable("no broker"))
    await until(lambda: len(bench.made) == 4 and bench.manager.ready)
    assert bench.failed == []


@pytest.mark.parametrize("error", [Fatal("lost range"), KeyError("unforeseen")])
async def test_fatal_and_unforeseen_end_the_worker(bench: Bench, error: Exception) -> None:
    await bench.assign(1, 0)
    await until(lambda: bench.ready)
    bench.made[0].ends.set_result(error)
    await until(lambda: bench.failed == [error])
    assert len(bench.made) == 1


async def test_fenced_waits_for_a_later_generation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "REJOIN_AFTER_S", 0.05)
    await bench.assign(1, 0)
    await bench.assign(2, 0)
    await until(lambda: bench.ready)
    bench.made[0].ends.set_result(Fenced("by a newer owner"))
    await until(lambda: bench.rejoins)
    await bench.assign(2, 0)
    rejoins = bench.rejoins
    await until(lambda: bench.rejoins > rejoins)
    assert len(bench.made) == 1
    await bench.assign(3, 0)
    await until(lambda: len(bench.made) == 2 and bench.ready)


async def test_a_successor_waits_until_the_place_is_free() -> None:
    lets_go, log = asyncio.Event(), list[str]()
    bench = Bench(lambda partition: Slow(partition, lets_go, log))
    await bench.assign(1, 0)
    await until(lambda: log == ["taken"])
    await bench.assign(2)
    await bench.assign(3, 0)
    await bench.assign(4)  # the second supervisor ends while it waits for the first
    await bench.assign(5, 0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert log == ["taken"]
    lets_go.set()
    await until(lambda: len(log) == 3)
    assert log == ["taken", "let go", "taken"]
    await bench.manager.stop()
    assert log[-1] == "let go"
    assert bench.failed == []


async def test_an_actor_that_never_ends_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LEAVE_S", 0.1)
    lets_go, log = asyncio.Event(), list[str]()
    bench = Bench(lambda partition: Slow(partition, lets_go, log))
    await bench.assign(1, 0)
    await until(lambda: log)
    await bench.assign(2)
    await bench.assign(3, 0)
    await until(lambda: bench.failed)
    assert "still runs" in str(bench.failed[0])
    lets_go.set()
    await bench.manager.stop()


async def test_a_worker_that_its_group_has_not_heard_of_says_so(bench: Bench) -> None:
    await bench.assign(1, 0)
    bench.manager.check_in_touch()
    bench.silent_s = SESSION_S
    assert not bench.manager.in_touch
    with pytest.raises(NotHeld, match="not acknowledged this worker"):
        bench.manager.check_in_touch()
    bench.silent_s = 0.5
    bench.manager.check_in_touch()


async def test_held_shards_continue_from_one_generation_to_the_next(bench: Bench) -> None:
    await bench.assign(7, 0, control=True)
    await until(lambda: bench.manager.ready and bench.coordinators)
    await bench.assign(7, 0, control=True)  # told once more: the group has not changed
    await bench.assign(8, 0, 1, control=True)
    await until(lambda: bench.ready == {0, 1})
    assert len(bench.made) == 2
    assert len(bench.coordinators) == 1


@pytest.mark.parametrize("generation", [9, 12, 3])
async def test_held_shards_are_taken_over_again_after_a_missed_generation(
    bench: Bench, generation: int
) -> None:
    """Somebody else may have had it in between, even if it is given to this worker again."""
    await bench.assign(7, 0, control=True)
    await until(lambda: bench.manager.ready and bench.coordinators)
    former = bench.made[0]
    await bench.assign(generation, 0, control=True)
    assert bench.manager.shards[0] is None, "the former life gives no answer any more"
    await until(lambda: bench.manager.ready and len(bench.coordinators) == 2)
    assert not former.ready
    assert bench.manager.shards[0] is bench.made[1]
    await bench.assign(generation + 1, 0, control=True)
    assert bench.manager.shards[0] is bench.made[1]


async def test_every_new_generation_is_a_doubt(bench: Bench) -> None:
    before = bench.ownership.doubts()
    await bench.assign(7, 0)
    assert bench.ownership.doubts() == before + 1
    await bench.assign(7, 0)
    assert bench.ownership.doubts() == before + 1
    await bench.assign(8, 0)
    assert bench.ownership.doubts() == before + 2


class Deaf(DummyShard):
    """Loses the first cancellation, as code does that takes it for one of its own."""

    def __init__(self, partition: int, then: BaseException | None) -> None:
        super().__init__(partition)
        self.then = then

    async def run(self) -> None:
        with suppress(asyncio.CancelledError):
            await super().run()
        if self.then is not None:
            raise self.then
        await super().run()


@pytest.mark.parametrize(
    "then", [Fenced("by its successor"), Recoverable("no broker"), Fatal("lost range"), None]
)
async def test_a_seat_that_is_left_lives_no_other_life(
    monkeypatch: pytest.MonkeyPatch, then: BaseException | None
) -> None:
    monkeypatch.setattr(supervisor, "CANCEL_AGAIN_S", 0.05)
    monkeypatch.setattr(supervisor, "REJOIN_AFTER_S", 0.01)
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    bench = Bench(lambda partition: Deaf(partition, then))
    await bench.assign(1, 0)
    await until(lambda: bench.ready)
    (task,) = [supervisor.task for supervisor in bench.manager._supervisors.values()]
    await bench.assign(2)
    await until(task.done)
    assert len(bench.made) == 1
    assert not bench.made[0].ready
    assert bench.rejoins == 0
    assert bench.failed == []
    await bench.manager.stop()
