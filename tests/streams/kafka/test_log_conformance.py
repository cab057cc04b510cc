"""The contract of `streams.kafka.log`, which every implementation must fulfil.

To test another implementation, add an entry to `IMPLEMENTATIONS`: the function that makes its
`Kept`. The tests use only the protocols.
"""

import asyncio
import dataclasses
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from schemas.decode.batch import KafkaRecord, unpack
from schemas.errors import Fatal, Recoverable
from streams.clock import SYSTEM_CLOCK
from streams.kafka import topics as topic_admin
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import (
    Fenced,
    Log,
    LogReader,
    LogWriter,
    LostRange,
    Partition,
    ReaderOptions,
    Record,
    RecordGroup,
    StepFailed,
)
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from tests.sim.log.cluster import Cluster
from tests.sim.log.sim_log import SimLog

DEADLINE_S = 60.0
WAIT_MS = 100
RUN = uuid.uuid4().hex
"""Ends every transactional id: tests may share a cluster with others."""
#: More than one record may have.
TOO_LARGE = 2_000_000


@dataclass(frozen=True)
class Kept:
    """A log with the topics of one deployment, all empty, and one at which nothing answers."""

    log: Log
    unreachable: Log
    topics: Topics


async def by_brokers(request: pytest.FixtureRequest) -> Kept:
    """As a broker keeps it."""
    settings: Settings = request.getfixturevalue("settings")
    await topic_admin.create(settings)
    hung = socket.create_server(("127.0.0.1", 0))  # takes connections and says nothing
    request.addfinalizer(hung.close)
    addresses = f"127.0.0.1:1,127.0.0.1:{hung.getsockname()[1]}"
    hanging = dataclasses.replace(settings, bootstrap_servers=addresses)
    return Kept(KafkaLog(settings), KafkaLog(hanging), Topics(settings.prefix))


async def simulated(request: pytest.FixtureRequest) -> Kept:
    """As the simulation of tests/sim keeps it."""
    flags = {"prefix": "t.", "partitions": 4, "transaction_timeout": "PT2S"}
    settings = load(flags, env={}, file=Path("none.toml"))
    clusters = [Cluster(SYSTEM_CLOCK, Random(number)) for number in range(2)]
    log, unreachable = (SimLog(one, settings, Random(0)) for one in clusters)
    await log.admin.create()
    clusters[1].network.down |= set(range(3))
    return Kept(log, unreachable, Topics(settings.prefix))


IMPLEMENTATIONS: list[Callable[[pytest.FixtureRequest], Awaitable[Kept]]] = [
    pytest.param(by_brokers, marks=pytest.mark.connected, id="brokers"),  # type: ignore[list-item]
    pytest.param(simulated, id="simulated"),  # type: ignore[list-item]
]


@pytest.fixture(params=IMPLEMENTATIONS)
async def kept(request: pytest.FixtureRequest) -> Kept:
    """One after the other."""
    made: Kept = await request.param(request)
    return made


@pytest.fixture
def log(kept: Kept) -> Log:
    """The log under test."""
    return kept.log


@pytest.fixture
def at(kept: Kept) -> Partition:
    """A partition without a record, of a topic whose records may be deleted."""
    return (kept.topics.repartition, 0)


@asynccontextmanager
async def writing(log: Log, name: str) -> AsyncIterator[LogWriter]:
    """A writer that has started."""
    writer = log.writer(f"{name}-{RUN}")
    try:
        await writer.start()
        yield writer
    finally:
        await writer.close()


@asynccontextmanager
async def reading(log: Log, *positions: tuple[Partition, int]) -> AsyncIterator[LogReader]:
    """A reader that has started."""
    reader = log.reader(dict(positions))
    try:
        await reader.start()
        yield reader
    finally:
        await reader.close()


def record(at: Partition, value: bytes) -> Record:
    return Record(at[0], b"k", value, at[1])


async def next_records(reader: LogReader) -> list[KafkaRecord]:
    """The next ones, at least one."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            batches = await reader.fetch(WAIT_MS)
            if batches:
                return [one for batch in batches for one in unpack(batch)]


async def values(reader: LogReader, count: int) -> list[bytes | None]:
    """The next `count` values and what came with them."""
    found: list[bytes | None] = []
    while len(found) < count:
        found += [one.value for one in await next_records(reader)]
    return found


async def until(reader: LogReader, holds: Callable[[], bool]) -> None:
    """Reads, and finds no record, until `holds`."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            assert await reader.fetch(WAIT_MS) == []


def keeping(places: list[int]) -> Callable[[list[int]], Sequence[Record]]:
    """A `then` that fails with the step open, when `first` is in the log."""

    def fail(offsets: list[int]) -> Sequence[Record]:
        places.extend(offsets)
        raise _Left

    return fail


class _Left(Exception):
    """A writer that is gone in the midst of a step."""


async def leave_open(log: Log, name: str, *records: Record) -> None:
    """Leaves a transaction open in which there are these records."""
    places: list[int] = []
    async with writing(log, name) as writer:
        with pytest.raises(_Left):
            await writer.commit([], first=records, then=keeping(places))
        assert len(places) == len(records)
        with pytest.raises(StepFailed):
            await writer.commit([])  # it is spent


async def test_what_was_committed_is_read_in_order_and_once(log: Log, at: Partition) -> None:
    sent = [b"%d" % number for number in range(50)]
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        for some in (sent[:1], sent[1:20], sent[20:]):
            await writer.commit([record(at, value) for value in some])
        assert await values(reader, len(sent)) == sent
        await until(reader, lambda: not any(reader.lag(reader.positions()).values()))


async def test_a_record_comes_as_it_was_written(log: Log, at: Partition) -> None:
    one = Record(at[0], b"key", b"value", at[1], (("a", b"1"), ("b", b"")), timestamp_ms=1_234)
    tombstone = Record(at[0], b"key", None, at[1])
    group = RecordGroup(at[0], at[1], (("all", b"x"),), [(b"g", b"v", 5)], [(("own", b"y"),)])
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        await writer.commit([one, tombstone], groups=[group])
        found: list[KafkaRecord] = []
        while len(found) < 3:
            found += await next_records(reader)
        first, second, third = found
        assert list(first.headers) == list(one.headers)
        assert (first.key, first.value, list(first.headers)) == (
            b"key",
            b"value",
            list(one.headers),
        )
        assert (second.key, second.value) == (b"key", None)
        assert (third.key, third.value) == (b"g", b"v")
        assert list(third.headers) == [("all", b"x"), ("own", b"y")]
        assert [one.offset for one in found] == [0, 1, 2]


async def test_an_open_step_holds_readers_back_and_an_aborted_one_is_never_read(
    log: Log, at: Partition
) -> None:
    async with reading(log, (at, 0)) as reader, writing(log, "other") as other:
        await leave_open(log, "w", record(at, b"aborted"), record(at, b"aborted"))
        await other.commit([record(at, b"behind")])
        await until(reader, lambda: reader.held_back().get(at, 0) >= 3)
        assert reader.position(at) == 0
        assert reader.lag({at: 0})[at] >= 3
        assert (await log.admin.bounds([at]))[at] == (0, 0)
        async with writing(log, "w"):  # what starts aborts what was left
            assert await values(reader, 1) == [b"behind"]
            await until(reader, lambda: not any(reader.lag(reader.positions()).values()))
        assert reader.held_back() == {}


async def test_only_the_writer_that_started_last_commits(log: Log, at: Partition) -> None:
    async with writing(log, "w") as former:
        await former.commit([record(at, b"former")])
        async with writing(log, "w") as newer, reading(log, (at, 0)) as reader:
            with pytest.raises(Fenced):
                await former.commit([record(at, b"too late")])
            with pytest.raises(StepFailed):
                await former.commit([record(at, b"spent")])
            await newer.commit([record(at, b"newer")])
            assert await values(reader, 2) == [b"former", b"newer"]
        async with writing(log, "another"):
            pass  # another id fences nobody
        async with writing(log, "w") as last:
            await last.commit([record(at, b"last")])


async def test_who_loses_the_id_in_a_step_does_not_commit_it(log: Log, at: Partition) -> None:
    """Between the last record and the commit there is room for another to take over."""
    async with writing(log, "w") as former, reading(log, (at, 0)) as reader:
        await leave_open(log, "w", record(at, b"open"))  # takes the id over too
        with pytest.raises(Fenced):
            await former.commit([record(at, b"too late")])
        async with writing(log, "w") as newer:
            await newer.commit([record(at, b"newer")])
            assert await values(reader, 1) == [b"newer"]


async def test_a_step_is_all_or_nothing(log: Log, kept: Kept, at: Partition) -> None:
    other = (kept.topics.archive, 0)
    group = RecordGroup(other[0], other[1], (), [(b"k", b"lost", 1)] * 3)
    async with reading(log, (at, 0), (other, 0)) as reader:
        async with writing(log, "w") as writer:
            too_large = record(other, b"\0" * TOO_LARGE)
            with pytest.raises(StepFailed):
                await writer.commit([record(at, b"lost"), too_large], groups=[group])
        async with writing(log, "w") as writer:
            kept_group = dataclasses.replace(group, records=[(b"k", b"whole", 1)])
            await writer.commit([record(at, b"whole")], groups=[kept_group])
            assert await values(reader, 2) == [b"whole", b"whole"]
            await until(reader, lambda: not any(reader.lag(reader.positions()).values()))


async def test_offsets_of_first_are_there_for_then_in_the_same_step(
    log: Log, kept: Kept, at: Partition
) -> None:
    archive = (kept.topics.archive, 0)
    ended: list[bool] = []

    def then(places: list[int]) -> list[Record]:
        assert not ended
        return [record(at, b"at %d" % place) for place in places]

    async with writing(log, "w") as writer:
        await writer.commit([record(archive, b"before")])
        offsets = await writer.commit(
            [record(at, b"own")],
            first=[record(archive, b"one"), record(archive, b"two")],
            then=then,
            ending=lambda: ended.append(True),
        )
        assert ended == [True]
        assert offsets == [0, 1, 2]
        async with reading(log, (at, 0), (archive, 0)) as reader:
            found: list[KafkaRecord] = []
            while len(found) < 6:
                found += await next_records(reader)
    by_value = {one.value: one.offset for one in found}
    named = sorted(value for value in by_value if value and value.startswith(b"at "))
    assert named == [b"at %d" % by_value[b"one"], b"at %d" % by_value[b"two"]]
    assert {by_value[b"own"], *(by_value[value] for value in named)} == set(offsets)


async def test_an_empty_step_is_one(log: Log) -> None:
    async with writing(log, "w") as writer:
        assert await writer.commit([]) == []
        assert await writer.commit([]) == []


async def test_reading_continues_at_the_position_that_was_set(log: Log, at: Partition) -> None:
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        offsets = [(await writer.commit([record(at, b"%d" % n)]))[0] for n in range(3)]
        assert await values(reader, 3) == [b"0", b"1", b"2"]
        assert reader.position(at) > offsets[2]
        reader.seek(at, offsets[1])
        assert reader.position(at) == reader.positions()[at] == offsets[1]
        assert await values(reader, 2) == [b"1", b"2"]


async def test_a_seek_while_an_answer_is_awaited_wins(log: Log, at: Partition) -> None:
    async with writing(log, "w") as writer:
        await writer.commit([record(at, b"one")])
        reader = log.reader({at: 0}, ReaderOptions(prefetch=True))
        try:
            await reader.start()
            assert await values(reader, 1) == [b"one"]
            reader.seek(at, 0)
            assert await values(reader, 1) == [b"one"]
        finally:
            await reader.close()


async def test_lag_is_counted_from_the_cursor_asked_about_and_never_0_unheard(
    log: Log, at: Partition
) -> None:
    async with writing(log, "w") as writer:
        reader = log.reader({at: 0}, ReaderOptions(ends={at: 0}))
        try:
            assert reader.lag({at: 0}) == {at: 1}, "nothing was heard yet"
            await reader.start()
            await until(reader, lambda: reader.lag({at: 0}) == {at: 0})
            await writer.commit([record(at, b"one"), record(at, b"two")])
            assert await values(reader, 2) == [b"one", b"two"]
            assert reader.lag({at: 0})[at] - reader.lag({at: 2})[at] == 2
        finally:
            await reader.close()


async def test_reading_at_the_end_waits_and_may_be_cancelled_without_loss(
    log: Log, at: Partition
) -> None:
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        await until(reader, lambda: reader.lag({at: 0}) == {at: 0})
        waiting = asyncio.ensure_future(reader.fetch(30_000))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert reader.position(at) == 0
        sent = [b"%d" % number for number in range(20)]
        found: list[bytes | None] = []
        for number, value in enumerate(sent):
            await writer.commit([record(at, value)])
            # cancelled at whatever point it has reached after so many turns of the loop
            waiting = asyncio.ensure_future(reader.fetch(WAIT_MS))
            for _ in range(number):
                await asyncio.sleep(0)
            if waiting.done() or not waiting.cancel():
                found += [one.value for batch in await waiting for one in unpack(batch)]
            await asyncio.wait([waiting])
        found += await values(reader, len(sent) - len(found))
        assert found == sent


async def test_bounds_follow_what_is_committed_and_what_is_deleted(log: Log, at: Partition) -> None:
    assert await log.admin.bounds([at]) == {at: (0, 0)}
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        await writer.commit([record(at, b"%d" % number) for number in range(10)])
        await values(reader, 10)
        begin, end = (await log.admin.bounds([at]))[at]
        assert begin == 0
        assert end >= 10
        await log.admin.delete_below(at, 4)
        assert (await log.admin.bounds([at]))[at] == (4, end)
        await log.admin.delete_below(at, 4)  # again: nothing happens
        with pytest.raises(Recoverable):
            await log.admin.delete_below(at, end + 1_000)
        assert (await log.admin.bounds([at]))[at] == (4, end)


async def test_a_position_outside_of_the_log_is_a_lost_range(log: Log, at: Partition) -> None:
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        await writer.commit([record(at, b"%d" % number) for number in range(10)])
        await values(reader, 10)
        await log.admin.delete_below(at, 4)
        for lost in (0, 3, 1_000):
            reader.seek(at, lost)
            with pytest.raises(LostRange) as caught:
                await next_records(reader)
            assert (caught.value.partition, caught.value.position) == (at, lost)
            assert reader.position(at) == lost
        reader.seek(at, 4)
        assert (await values(reader, 6))[-6:] == [b"%d" % number for number in range(4, 10)]


async def test_progress_waits_until_a_position_moves(log: Log, at: Partition) -> None:
    async with writing(log, "w") as writer, reading(log, (at, 0)) as reader:
        with pytest.raises(Recoverable, match="no record came"):
            await reader.progress(0.1)
        await writer.commit([record(at, b"one")])
        async with asyncio.timeout(DEADLINE_S):
            found = await reader.progress()
        assert [one.value for batch in found for one in unpack(batch)] == [b"one"]


async def test_partitions_and_their_topics_are_known(log: Log, kept: Kept) -> None:
    topics, missing = kept.topics, f"{kept.topics.changelog}-missing"
    assert await log.admin.partitions([topics.changelog, topics.control]) == [
        *((topics.changelog, number) for number in range(4)),
        (topics.control, 0),
    ]
    ids = await log.admin.topic_ids([topics.changelog, topics.control, missing])
    assert ids.keys() == {topics.changelog, topics.control}
    assert len({*ids.values()}) == 2
    configs = await log.admin.configs([topics.changelog])
    assert "compact" in configs[topics.changelog]["cleanup.policy"]
    with pytest.raises(Fatal, match=missing):
        await log.admin.partitions([topics.changelog, missing])


async def test_the_topics_of_a_deployment_are_as_specified(log: Log, kept: Kept) -> None:
    assert await log.admin.answers(1.0)
    assert not await kept.unreachable.admin.answers(0.05)
    problems, layouts = await log.admin.inspect()
    assert problems == []
    assert {name: one.topic_id for name, one in layouts.items()} == await log.admin.topic_ids(
        layouts
    )
    there = await log.admin.topics()
    assert {name: there[name] for name in layouts} == {
        name: one.partitions for name, one in layouts.items()
    }
    # nothing is missing, nothing is wrong
    assert await log.admin.create() == []
    assert await log.admin.repair() == []


async def test_a_topic_that_is_not_there_is_waited_for(log: Log, kept: Kept, at: Partition) -> None:
    missing = (f"{kept.topics.changelog}-missing", 0)
    async with reading(log, (missing, 0), (at, 0)) as reader, writing(log, "w") as writer:
        await writer.commit([record(at, b"there")])
        assert await values(reader, 1) == [b"there"]
        assert reader.lag({missing: 0}) == {missing: 1}


async def test_single_records_are_appended_by_many_at_once(log: Log, at: Partition) -> None:
    appender = log.appender()
    try:
        offsets = await asyncio.gather(*(appender.append(record(at, b"%d" % n)) for n in range(20)))
        async with reading(log, (at, 0)) as reader:
            found = await values(reader, 20)
        assert [found[offset] for offset in offsets] == [b"%d" % n for n in range(20)]
        await appender.close()  # and once more: it connects anew
        assert await appender.append(record(at, b"more")) == 20
    finally:
        for _ in range(2):
            await appender.close()


async def test_closing_twice_is_closing_once(log: Log, at: Partition) -> None:
    reader, writer = log.reader({at: 0}), log.writer(f"w-{RUN}")
    await reader.close()  # before the start too
    await writer.close()
    reader, writer = log.reader({at: 0}), log.writer(f"w-{RUN}")
    await reader.start()
    await writer.start()
    assert writer.producer_id is not None
    for _ in range(2):
        await reader.close()
        await writer.close()
    assert writer.producer_id is None
    with pytest.raises(StepFailed):
        await writer.commit([])


async def test_where_nothing_answers_each_call_gives_up(kept: Kept, at: Partition) -> None:
    log = kept.unreachable
    reader, writer = log.reader({at: 0}), log.writer(f"w-{RUN}")
    appender = log.appender()
    asked: list[Awaitable[object]] = [
        reader.start(),
        writer.start(),
        log.admin.bounds([at]),
        log.admin.partitions([at[0]]),
        log.admin.topic_ids([at[0]]),
        log.admin.configs([at[0]]),
        log.admin.delete_below(at, 1),
        appender.append(record(at, b"lost")),
        log.admin.topics(),
        log.admin.create(),
        log.admin.inspect(),
        log.admin.repair(),
    ]
    async with asyncio.timeout(DEADLINE_S):
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in answers if not isinstance(one, Recoverable)] == []
    assert isinstance(answers[1], StepFailed)
    await reader.close()
    await writer.close()
    await appender.close()
