"""What simulated brokers do with logs and transactions, as the real ones."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import errors as kafka_errors

from schemas.decode.batch import KafkaRecord, RecordBatch, unpack
from streams.kafka.log import (
    Fenced,
    LogReader,
    LostRange,
    Partition,
    ReaderOptions,
    Record,
    StepFailed,
)
from streams.kafka.topic_specs import TopicSpec
from streams.settings import load
from tests.sim.clock import EPOCH_MS, SimClock
from tests.sim.log.batches import Entry, Written
from tests.sim.log.cluster import Cluster
from tests.sim.log.faults import Faults, Rates
from tests.sim.log.network import Request
from tests.sim.log.partition_log import PartitionLog
from tests.sim.log.sim_log import SimLog
from tests.sim.loop import CALM, SimLoop, simulate

T = TypeVar("T")

STAMPED: Partition = ("stamped", 0)
PLAIN: Partition = ("plain", 0)
TIMEOUT_S = 15
DAY_MS = 86_400_000


class Brokers:
    """A cluster with a topic whose log stamps what comes and one whose log does not, and a log on
    it.
    """

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.clock = SimClock(loop)
        self.cluster = Cluster(self.clock, loop.stream("cluster"))
        flags = {"prefix": "t.", "transaction_timeout": f"PT{TIMEOUT_S}S"}
        settings = load(flags, env={}, file=Path("none.toml"))
        self.log = SimLog(self.cluster, settings, loop.stream("log"), SimClock(loop, 5_000))
        stamped = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "1000"}
        self.cluster.create(TopicSpec(STAMPED[0], 3, stamped))
        self.cluster.create(TopicSpec(PLAIN[0], 1, {"cleanup.policy": "compact"}))

    def append(self, at: Partition, *values: bytes | None, key: bytes = b"k") -> int:
        """Appends a batch by a plain producer."""
        entries = [Entry(key, value, self.clock.now_ms()) for value in values]
        return self.cluster.produce(at, entries)[0]

    async def read(self, at: Partition, start: int = 0) -> list[KafkaRecord]:
        """Everything that can be read now."""
        reader = self.log.reader({at: start})
        await reader.start()
        found: list[KafkaRecord] = []
        while True:
            some = await reader.fetch(10)
            found += [record for batch in some for record in unpack(batch)]
            lag = reader.lag(reader.positions())
            if not some and {at: count for at, count in lag.items() if count} == reader.held_back():
                await reader.close()
                return found


def on_brokers(main: Callable[[Brokers], Coroutine[Any, Any, T]], seed: int = 1) -> T:
    return simulate(seed, lambda loop: main(Brokers(loop)), CALM)


def values(records: Sequence[KafkaRecord]) -> list[bytes | None]:
    return [record.value for record in records]


def test_a_log_stamps_with_the_clock_of_its_brokers_and_a_writer_with_its_own() -> None:
    async def main(brokers: Brokers) -> None:
        writer = brokers.log.writer("w")
        await writer.start()
        await asyncio.sleep(1)
        records = [Record(at[0], b"k", b"v", at[1]) for at in (STAMPED, PLAIN)]
        await writer.commit(records)
        (stamped,) = await brokers.read(STAMPED)
        (plain,) = await brokers.read(PLAIN)
        assert stamped.timestamp == writer.appended_ms == EPOCH_MS + 1_000
        assert plain.timestamp == EPOCH_MS + 6_000

    on_brokers(main)


def test_a_batch_larger_than_its_topic_takes_fails_the_step() -> None:
    async def main(brokers: Brokers) -> None:
        writer = brokers.log.writer("w")
        await writer.start()
        with pytest.raises(StepFailed, match="MessageSizeTooLarge"):
            await writer.commit([Record(STAMPED[0], b"k", b"v" * 1_001)])
        assert await brokers.read(STAMPED) == []

    on_brokers(main)


def test_the_brokers_abort_a_transaction_that_stays_open_and_fence_its_writer() -> None:
    async def main(brokers: Brokers) -> None:
        loop = brokers.loop
        writer = brokers.log.writer("w")
        await writer.start()
        brokers.append(STAMPED, b"before")

        # between its records and its commit, as a process that is suspended
        loop.after_steps("stopped", 2, lambda: loop.freeze("stopped", 2 * TIMEOUT_S))
        task = loop.start("stopped", writer.commit([Record(STAMPED[0], b"k", b"open")]))
        await asyncio.sleep(1)
        brokers.append(STAMPED, b"behind")
        assert values(await brokers.read(STAMPED)) == [b"before"]
        await asyncio.sleep(TIMEOUT_S)
        assert values(await brokers.read(STAMPED)) == [b"before", b"behind"]
        with pytest.raises((Fenced, StepFailed)):
            await task
        assert brokers.cluster.faults.reached["transaction timed out"] == 1

    on_brokers(main)


def test_a_delayed_append_joins_the_next_transaction_of_its_epoch_and_of_no_other() -> None:
    """The first transaction protocol: partitions know epochs, and not transactions."""

    async def main(brokers: Brokers) -> None:
        cluster = brokers.cluster
        transactions = cluster.transactions
        producer, epoch = transactions.init("w", TIMEOUT_S)
        entries = [Entry(b"k", b"delayed", 1)]
        delayed = partial(
            cluster.produce, STAMPED, entries, Written(producer, epoch, 0, True), name="w"
        )
        transactions.add("w", producer, epoch, [STAMPED])
        transactions.end("w", producer, epoch, commit=False)
        await asyncio.sleep(0.1)
        with pytest.raises(kafka_errors.InvalidTxnState):
            delayed()  # no transaction is open
        transactions.add("w", producer, epoch, [STAMPED])
        delayed()
        transactions.end("w", producer, epoch, commit=True)
        await asyncio.sleep(0.1)
        assert values(await brokers.read(STAMPED)) == [b"delayed"]
        transactions.init("w", TIMEOUT_S)
        with pytest.raises(kafka_errors.InvalidProducerEpoch):
            delayed()

    on_brokers(main)


def test_a_delayed_append_of_a_fenced_epoch_is_refused_though_a_transaction_is_open() -> None:
    async def main(brokers: Brokers) -> None:
        cluster, transactions = brokers.cluster, brokers.cluster.transactions
        producer, former = transactions.init("w", TIMEOUT_S)
        producer, epoch = transactions.init("w", TIMEOUT_S)
        transactions.add("w", producer, epoch, [STAMPED])
        entries = [Entry(b"k", b"v", 1)]
        by = Written(producer, epoch, 0, True)
        assert cluster.produce(STAMPED, entries, by, name="w")[0] == 0
        late = Written(producer, former, 0, True)
        with pytest.raises(kafka_errors.InvalidProducerEpoch):
            cluster.produce(STAMPED, entries, late, name="w")

    on_brokers(main)


def test_an_append_that_is_repeated_is_there_once() -> None:
    log = PartitionLog(False, lambda name: None)
    entries = [Entry(b"k", b"v", 1)] * 3
    by = Written(7, 0, 0)
    assert log.append(entries, 1, by) == log.append(entries, 2, by) == (0, 1)
    assert log.append(entries, 1, Written(7, 0, 3)) == (3, 1)
    assert log.append(entries, 2, by) == (0, 1)
    with pytest.raises(kafka_errors.OutOfOrderSequenceNumber):
        log.append(entries, 1, Written(7, 0, 9))
    assert log.end == 6


def test_readers_wait_for_markers_and_offsets_have_gaps_because_of_them() -> None:
    async def main(brokers: Brokers) -> None:
        brokers.cluster.faults.rates = Rates(late_markers=1.0, late_markers_s=10)
        writer = brokers.log.writer("w")
        await writer.start()
        record = Record(STAMPED[0], b"k", b"v")
        (first,) = await writer.commit([record])
        assert (await brokers.log.admin.bounds([STAMPED]))[STAMPED] == (0, 0)
        assert await brokers.read(STAMPED) == [], "decided, and not to be read yet"
        (second,) = await writer.commit([record])
        assert (first, second) == (0, 2)
        await asyncio.sleep(10)
        assert [one.offset for one in await brokers.read(STAMPED)] == [0, 2]

    on_brokers(main)


def test_compaction_keeps_the_last_record_of_each_key_at_its_offset() -> None:
    async def main(brokers: Brokers) -> None:
        for number in range(10):
            brokers.append(PLAIN, b"%d" % number, b"b%d" % number, key=b"k%d" % (number % 3))
        brokers.append(PLAIN, None, key=b"k0")
        brokers.append(PLAIN, b"end", key=b"end")
        log = brokers.cluster.log(PLAIN)
        before = await brokers.read(PLAIN)
        assert log.compact(brokers.clock.now_ms(), DAY_MS, below=12) == 9
        half = await brokers.read(PLAIN)
        log.compact(brokers.clock.now_ms(), DAY_MS)
        after = await brokers.read(PLAIN)
        last = {record.key: record for record in before}
        assert {record.key: record for record in half} == last
        assert after == sorted(last.values(), key=lambda record: record.offset)
        assert await brokers.read(PLAIN, 3) == after
        log.compact(brokers.clock.now_ms() + DAY_MS + 1, DAY_MS)
        assert values(await brokers.read(PLAIN)) == [b"b7", b"b8", b"end"], "tombstones go later"
        assert log.end == 22

    on_brokers(main)


def test_compaction_drops_what_was_aborted_and_nothing_that_is_open() -> None:
    async def main(brokers: Brokers) -> None:
        cluster, transactions = brokers.cluster, brokers.cluster.transactions
        brokers.append(PLAIN, b"committed")
        for commit in (False, None):
            name = f"w{commit}"
            producer, epoch = transactions.init(name, TIMEOUT_S)
            transactions.add(name, producer, epoch, [PLAIN])
            by = Written(producer, epoch, 0, True)
            cluster.produce(PLAIN, [Entry(b"k", b"other", 1)], by, name=name)
            if commit is not None:
                transactions.end(name, producer, epoch, commit=commit)
                await asyncio.sleep(0.1)
        brokers.append(PLAIN, b"behind")
        log = cluster.log(PLAIN)
        assert log.compact(brokers.clock.now_ms(), DAY_MS) == 1
        assert values(await brokers.read(PLAIN)) == [b"committed"]
        transactions.end("wNone", producer, epoch, commit=True)
        await asyncio.sleep(0.1)
        assert values(await brokers.read(PLAIN)) == [b"committed", b"other", b"behind"]

    on_brokers(main)


def test_what_retention_deletes_is_a_lost_range() -> None:
    async def main(brokers: Brokers) -> None:
        for number in range(5):
            brokers.append(STAMPED, b"%d" % number, b"more")
        brokers.cluster.log(STAMPED).delete_below(5)
        assert (await brokers.log.admin.bounds([STAMPED]))[STAMPED] == (5, 10)
        with pytest.raises(LostRange):
            await brokers.read(STAMPED, 4)
        found = await brokers.read(STAMPED, 5)
        assert values(found) == [b"2", b"more", b"3", b"more", b"4", b"more"], "whole batches"

    on_brokers(main)


async def nothing(reader: LogReader) -> None:
    """Reads for ever, and finds nothing."""
    while True:
        assert await reader.fetch() == []


async def reader_of(brokers: Brokers, at: Partition) -> LogReader:
    ids = await brokers.log.admin.topic_ids([at[0]])
    reader = brokers.log.reader({at: 0}, ReaderOptions(ids=ids))
    await reader.start()
    return reader


def test_a_topic_that_is_made_anew_is_another_one() -> None:
    async def main(brokers: Brokers) -> None:
        brokers.append(STAMPED, b"old")
        reader = await reader_of(brokers, STAMPED)
        assert len(await reader.fetch()) == 1
        brokers.cluster.delete(STAMPED[0])
        assert await reader.fetch() == []
        brokers.cluster.create(TopicSpec(STAMPED[0], 3, {}))
        brokers.append(STAMPED, b"new", b"new")
        with pytest.raises(LostRange) as caught:
            await nothing(reader)
        assert caught.value.made_anew
        assert reader.position(STAMPED) == 1

    on_brokers(main)


def test_a_reader_does_not_know_the_lag_while_a_partition_has_no_leader() -> None:
    async def main(brokers: Brokers) -> None:
        reader = await reader_of(brokers, STAMPED)
        while reader.lag({STAMPED: 0}) != {STAMPED: 0}:
            await reader.fetch(10)
        brokers.cluster.lead(STAMPED, None)
        assert await reader.fetch(10) == []
        assert reader.lag({STAMPED: 0}) == {STAMPED: 1}
        with pytest.raises(kafka_errors.NotLeaderForPartitionError):
            brokers.cluster.produce(STAMPED, [Entry(b"k", b"refused", 1)], Written(1, 0, 0))
        brokers.cluster.lead(STAMPED, 2)
        brokers.append(STAMPED, b"taken")
        found: list[RecordBatch] = []
        while not found:
            found = await reader.fetch()
        assert reader.lag(reader.positions()) == {STAMPED: 0}

    on_brokers(main)


def test_a_new_leader_may_not_know_for_a_moment_what_is_committed() -> None:
    async def main(brokers: Brokers) -> None:
        brokers.append(STAMPED, b"1", b"2", b"3", b"4", b"5", b"6")
        brokers.append(STAMPED, b"7")
        brokers.cluster.faults.rates = Rates(behind=1.0, behind_s=5)
        reader = await reader_of(brokers, STAMPED)
        brokers.cluster.lead(STAMPED, 1)
        log = brokers.cluster.log(STAMPED)
        assert log.is_behind
        assert 0 < log.high < log.end
        reader.seek(STAMPED, 7)
        for _ in range(20):
            assert await reader.fetch(10) == [], "no position is out of range"
        await asyncio.sleep(5)
        assert not log.is_behind
        assert values(await brokers.read(STAMPED))[-1] == b"7"

    on_brokers(main)


def test_a_reader_counts_what_it_knows_to_be_there_though_a_new_leader_does_not() -> None:
    async def main(brokers: Brokers) -> None:
        brokers.append(STAMPED, *[b"%d" % number for number in range(10)])
        brokers.cluster.faults.rates = Rates(behind=1.0, behind_s=5)
        reader = await reader_of(brokers, STAMPED)
        while reader.lag({STAMPED: 10}) != {STAMPED: 0}:
            await reader.fetch(10)
        log = brokers.cluster.log(STAMPED)
        brokers.cluster.lead(STAMPED, 1)
        reader.seek(STAMPED, log.high)
        for _ in range(20):
            assert await reader.fetch(10) == []
            assert reader.lag(reader.positions())[STAMPED] >= 10 - log.high

    on_brokers(main)


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
def test_nothing_is_answered_while_all_brokers_are_away(hangs: bool) -> None:
    async def main(brokers: Brokers) -> None:
        network = brokers.cluster.network
        (network.hanging if hangs else network.down).update(range(3))
        began = brokers.loop.time()
        with pytest.raises(kafka_errors.KafkaError):
            await network.ask(Request.ADMIN, lambda: None, 7.0)
        assert (brokers.loop.time() - began >= 7.0) is hangs
        network.down.clear()
        network.hanging.clear()
        assert await network.ask(Request.ADMIN, lambda: 1, 7.0) == 1

    on_brokers(main)


@pytest.mark.parametrize(("rates", "done"), [({"slow": 1.0}, {1}), ({"broken": 1.0}, {0, 1})])
def test_a_request_without_an_answer_may_have_been_carried_out(
    rates: dict[str, float], done: set[int]
) -> None:
    async def main(brokers: Brokers) -> int:
        brokers.cluster.faults.rates = Rates(**rates, slow_s=100)
        carried: list[int] = []
        with pytest.raises(kafka_errors.KafkaError):
            await brokers.cluster.network.ask(Request.ADMIN, lambda: carried.append(1), 0.001)
        await asyncio.sleep(200)
        return len(carried)

    assert {on_brokers(main, seed) for seed in range(20)} == done


def test_every_fault_has_a_switch_and_is_counted() -> None:
    faults = Faults(SimLoop(1).stream("faults"), Rates(slow=1.0))
    assert faults.strikes("slow")
    assert not faults.strikes("broken")
    assert faults.reached == {"slow": 1}
