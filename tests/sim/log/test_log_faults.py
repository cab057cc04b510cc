"""Whatever the simulated cluster does wrong, the promises of the seam to Kafka hold."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from schemas.decode.batch import unpack
from schemas.errors import Recoverable
from streams.kafka.log import Log, Partition, Record, RecordGroup, StepFailed
from streams.settings import Settings, load
from tests.sim.clock import SimClock
from tests.sim.log import sim_log
from tests.sim.log.cluster import Cluster
from tests.sim.log.faults import NO_FAULTS, Faults, Rates
from tests.sim.log.incidents import CALM_DAYS, Frequencies, Incidents
from tests.sim.log.sim_log import SimLog
from tests.sim.log.writer import SimWriter
from tests.sim.loop import SimLoop, simulate

SEEDS = 5
ARCHIVE, CHANGES = "t.archive", "t.rejected"
#: Two partitions of a step, in different topics.
LEFT: Partition = (ARCHIVE, 0)
RIGHT: Partition = (CHANGES, 1)
LOOSE: Partition = (CHANGES, 2)
EVERY: dict[str, Rates | Frequencies] = {
    "slow": Rates(slow=0.1),
    "refused": Rates(refused=0.2),
    "broken": Rates(broken=0.1),
    "repeated": Rates(repeated=0.5),
    "few": Rates(few=0.5),
    "failed_step": Rates(failed_step=0.1),
    "unknown_commit": Rates(unknown_commit=0.2),
    "late_markers": Rates(late_markers=0.2),
    "leader_change": Frequencies(leader_change=2),
    "broker_down": Frequencies(broker_down=30),
    "outage": Frequencies(outage=60),
    "clock_jump": Frequencies(clock_jump=10),
}


@dataclass
class Told:
    """What the clients of a run were told: values by what became of them."""

    committed: list[bytes] = field(default_factory=list)
    doubtful: set[bytes] = field(default_factory=set)
    appended: dict[bytes, int] = field(default_factory=dict)
    lost: list[bytes] = field(default_factory=list)
    seen: dict[Partition, list[bytes]] = field(default_factory=dict)


def settings() -> Settings:
    flags = {"prefix": "t.", "partitions": 4, "transaction_timeout": "PT15S"}
    return load(flags, env={}, file=Path("none.toml"))


async def owns(log: Log, name: str, count: int, told: Told) -> None:
    """Commits steps of two records, and takes over from itself after each failure."""
    number = 0
    while number < count:
        writer = log.writer(name)
        try:
            await writer.start()
            while number < count:
                value = b"%s %d" % (name.encode(), number)
                number += 1
                told.doubtful.add(value)
                group = RecordGroup(*RIGHT, (), [(b"k", value, 1)])
                await writer.commit([Record(LEFT[0], b"k", value, LEFT[1])], groups=[group])
                told.doubtful.remove(value)
                told.committed.append(value)
                await asyncio.sleep(0.3)
        except Recoverable:
            await asyncio.sleep(1)
        finally:
            await writer.close()


async def appends(log: Log, count: int, told: Told) -> None:
    """Appends single records, each once."""
    appender = log.appender()
    for number in range(count):
        value = b"single %d" % number
        try:
            told.appended[value] = await appender.append(Record(LOOSE[0], b"k", value, LOOSE[1]))
        except Recoverable:
            told.lost.append(value)
        await asyncio.sleep(0.2)
    await appender.close()


async def reads(log: Log, partitions: Sequence[Partition], told: Told) -> None:
    """Reads for ever."""
    reader = log.reader(dict.fromkeys(partitions, 0))
    while True:
        try:
            await reader.start()
            break
        except Recoverable:
            await asyncio.sleep(1)
    try:
        while True:
            for batch in await reader.fetch():
                found = [one.value or b"" for one in unpack(batch)]
                told.seen[batch.topic, batch.partition] += found
    finally:
        await reader.close()


async def drained(log: Log, told: Told, partitions: Sequence[Partition]) -> list[list[bytes]]:
    """The partitions from their beginnings to their ends, when nothing is wrong any more."""
    reader = log.reader(dict.fromkeys(partitions, 0))
    await reader.start()
    found: dict[Partition, list[bytes]] = {one: [] for one in partitions}
    async with asyncio.timeout(120):
        while any(reader.lag(reader.positions()).values()):
            for batch in await reader.fetch():
                values = [one.value or b"" for one in unpack(batch)]
                found[batch.topic, batch.partition] += values
        while told.seen != found:  # noqa: ASYNC110  # time passes at once
            await asyncio.sleep(0.1)
    assert reader.held_back() == {}
    await reader.close()
    return [found[one] for one in partitions]


async def run(loop: SimLoop, rates: Rates, frequencies: Frequencies) -> Counter[str]:
    clock = SimClock(loop)
    faults = Faults(loop.stream("faults"))
    cluster = Cluster(clock, loop.stream("cluster"), faults, latency_s=0.005)
    log = SimLog(cluster, settings(), loop.stream("log"), clock)
    incidents = Incidents(cluster, loop.stream("incidents"), frequencies, clock.jump)
    await log.admin.create()
    partitions = [LEFT, RIGHT, LOOSE]
    told = Told(seen={one: [] for one in partitions})
    faults.rates = rates
    incidents.start()
    reading = asyncio.create_task(reads(log, partitions, told))
    await asyncio.gather(
        *(owns(log, name, 20, told) for name in ("a", "b", "c")), appends(log, 40, told)
    )
    faults.rates = NO_FAULTS
    incidents.stop()
    await asyncio.sleep(40)  # what a dead writer left open is aborted by then
    left, right, loose = await drained(log, told, partitions)
    reading.cancel()
    await asyncio.wait([reading])

    assert sorted(left) == sorted(right), "a step was half there"
    assert len({*left}) == len(left), "a step was there twice"
    assert {*told.committed} <= {*left}, "a step was lost"
    assert {*left} <= {*told.committed, *told.doubtful}
    for name in (b"a", b"b", b"c"):
        own = [int(value.split()[1]) for value in left if value.startswith(name)]
        assert own == sorted(own)
    assert len({*loose}) == len(loose), "a record was there twice"
    assert {*told.appended} <= {*loose} <= {*told.appended, *told.lost}
    await at_their_offsets(log, told)
    return faults.reached


async def at_their_offsets(log: Log, told: Told) -> None:
    reader = log.reader({LOOSE: 0})
    await reader.start()
    places: dict[bytes, int] = {}
    while any(reader.lag(reader.positions()).values()):
        for batch in await reader.fetch():
            places |= {one.value or b"": one.offset for one in unpack(batch)}
    await reader.close()
    assert {value: places[value] for value in told.appended} == told.appended


@pytest.mark.parametrize("name", EVERY)
def test_with_one_fault_the_promises_hold(name: str) -> None:
    chosen = EVERY[name]
    rates = chosen if isinstance(chosen, Rates) else NO_FAULTS
    frequencies = chosen if isinstance(chosen, Frequencies) else CALM_DAYS
    reached = Counter[str]()
    for seed in range(SEEDS):
        reached += simulate(seed, lambda loop: run(loop, rates, frequencies))
    assert reached[name]


def test_with_all_faults_the_promises_hold_and_every_fault_and_rare_state_is_reached() -> None:
    rates = NO_FAULTS
    for one in EVERY.values():
        if isinstance(one, Rates):
            strength = {name: getattr(one, name) / 4 for name in Rates.names()}
            rates = replace(rates, **{name: part for name, part in strength.items() if part})
    rates = replace(rates, behind=0.5)
    frequencies = Frequencies(
        leader_change=10, broker_down=60, outage=120, compaction=5, clock_jump=20
    )
    reached = Counter[str]()
    for seed in range(4 * SEEDS):
        reached += simulate(f"all {seed}", lambda loop: run(loop, rates, frequencies))
    expected = {*Rates.names(), *Frequencies.names()}
    expected |= {"deduplicated", "fenced", "open transaction fenced", "hung"}
    assert expected <= {*reached}, sorted(expected - {*reached})


class Reused(SimWriter):
    """A writer that goes on after a commit that may arrive a second time."""

    def _doubt(self) -> None: ...


def test_a_writer_that_goes_on_after_an_unanswered_commit_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first transaction protocol: a commit that is held up ends the next step of its epoch."""
    monkeypatch.setattr(sim_log, "SimWriter", Reused)

    def some_seeds() -> None:
        for seed in range(4 * SEEDS):
            simulate(seed, lambda loop: run(loop, Rates(slow=0.1), CALM_DAYS))

    with pytest.raises(AssertionError, match="a step was half there"):
        some_seeds()


def test_the_same_seed_gives_the_same_history() -> None:
    async def main(loop: SimLoop) -> str:
        await run(loop, Rates(slow=0.1, broken=0.1, refused=0.1), Frequencies(leader_change=5))
        return loop.trace

    assert simulate(3, main) == simulate(3, main) != simulate(4, main)


def test_without_faults_no_step_fails() -> None:
    async def main(loop: SimLoop) -> Counter[str]:
        return await run(loop, NO_FAULTS, CALM_DAYS)

    assert simulate(1, main) == Counter()


def test_a_step_fails_in_either_way_where_its_commit_is_unknown() -> None:
    async def main(loop: SimLoop) -> int:
        clock = SimClock(loop)
        faults = Faults(loop.stream("faults"))
        cluster = Cluster(clock, loop.stream("cluster"), faults)
        log = SimLog(cluster, settings(), loop.stream("log"), clock)
        await log.admin.create()
        writer = log.writer("w")
        await writer.start()
        faults.rates = Rates(unknown_commit=1.0)
        with pytest.raises(StepFailed):
            await writer.commit([Record(LEFT[0], b"k", b"v", LEFT[1])])
        await asyncio.sleep(3)
        await log.writer("w").start()
        told = Told(seen={LEFT: []})
        reading = asyncio.create_task(reads(log, [LEFT], told))
        (found,) = await drained(log, told, [LEFT])
        reading.cancel()
        await asyncio.wait([reading])
        return len(found)

    assert {simulate(seed, main) for seed in range(20)} == {0, 1}
