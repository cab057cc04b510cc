"""Failure is per source: damage of one record is the trouble of its source, and of nothing else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from agents.shard.jobs import compact, context, loop, rests
from agents.shard.jobs.context import ShardContext
from agents.tools.oracle import expect, rows_of
from schemas.decode.batch import KafkaRecord
from schemas.records.lifecycle import FailureCode, State
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topics import Topics
from streams.period import parse
from streams.settings import Settings
from streams.state import keys
from streams.state.compaction_plan import remove
from streams.state.rocks import StoreDamaged
from streams.state.store import Step
from tests.rigs.erasing import cleaned, erase, erasing
from tests.rigs.hostile.archive_topic import archived, rewrite
from tests.rigs.hostile.silent_archive import FiniteLog, FlippingLog, SilentLog
from tests.rigs.shard import DEADLINE_S, START, A, B, Event, Stand, alone, events, start

__all__ = ["alone", "erasing"]

pytestmark = pytest.mark.connected

HUNDRED = [f"campaign:{number:03d}" for number in range(100)]


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rests is tried again soon."""
    monkeypatch.setattr(rests, "_FIRST_S", 0.2)


def some_of_each() -> list[Event]:
    return [
        (
            "send",
            {
                "id": f"{source}-{number}",
                "user_id": f"{number:024x}",
                "time": START + number,
                "campaign_id": source.partition(":")[2],
                "channel": "EMAIL",
            },
        )
        for source in HUNDRED
        for number in range(3)
    ]


def with_flip(record: KafkaRecord) -> KafkaRecord:
    data = bytearray(record.value or b"")
    data[len(data) // 2] ^= 1
    return record._replace(value=bytes(data))


def with_another_id(record: KafkaRecord) -> KafkaRecord:
    return record._replace(headers=[("segment", b"f" * 24)])


def with_half(record: KafkaRecord) -> KafkaRecord:
    return record._replace(value=(record.value or b"")[:-40])


async def until_reported(stand: Stand, phase: str, count: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await stand.reports(phase)
        return len(found) >= count

    while not await there():
        await stand.until(lambda: True)  # raises if the shard has ended
    return found


async def test_of_a_hundred_restores_with_damaged_records_only_those_fail(
    alone: Settings,
) -> None:
    sent = some_of_each()
    first = await start(alone)
    await first.send(sent, 0)
    for source in HUNDRED:
        await first.tell(source, State.EXPIRING, 1)
    for source in HUNDRED:
        await first.applied(source, 1)
    manifest = {one: dict(entries) for one, entries in first.shard._store.table.manifest.items()}
    await first.stop()

    whole = await archived(alone)
    damaged = dict(whole)
    kinds = {
        HUNDRED[3]: (with_flip, FailureCode.ARCHIVE_DAMAGED),
        HUNDRED[40]: (with_half, FailureCode.ARCHIVE_DAMAGED),
        HUNDRED[99]: (with_another_id, FailureCode.ARCHIVE_FOREIGN),
    }
    offsets = {one: next(iter(manifest[one].values())).offset for one in HUNDRED}
    for source, (damage, _) in kinds.items():
        damaged[0, offsets[source]] = damage(whole[0, offsets[source]])
    await rewrite(alone, damaged)
    # of this one the log no longer has the record
    gone = min(offsets, key=lambda one: offsets[one])
    assert gone not in kinds
    topic = Topics(alone.prefix).archive
    await KafkaLog(alone).admin.delete_below((topic, 0), offsets[gone] + 1)

    second = await start(alone, first.view)
    for source in HUNDRED:
        await second.tell(source, State.RESTORING, 2)
    codes = {source: code for source, (_, code) in kinds.items()}
    codes[gone] = FailureCode.ARCHIVE_MISSING
    well = [source for source in HUNDRED if source not in codes]
    for source in well:
        await second.applied(source, 2)
        await second.tell(source, State.STOPPED, 3)
        assert await second.rows(source, 3) == rows_of(expect(sent), source)
    told = {one["source"]: one for one in await until_reported(second, "failed", len(codes))}
    assert {source: one["code"] for source, one in told.items()} == codes
    for source, one in told.items():
        (segment,) = manifest[source]
        place = f"{topic}[0]@{offsets[source]}"
        assert (one["version"], one["segment"], one["place"]) == (2, segment, place)
        assert one["detail"].startswith(f"{place}: segment {segment}: ")
    # they go back to the archive, and everything else goes on
    for source in codes:
        await second.tell(source, State.EXPIRING, 3)
        await second.applied(source, 3)
    await second.send(events(50), 0)
    await second.stop()

    await rewrite(alone, whole)  # from a backup
    third = await start(alone, second.view)
    for source in codes:
        await third.tell(source, State.RESTORING, 4)
    for source in codes:
        await third.applied(source, 4)
        await third.tell(source, State.STOPPED, 5)
        assert await third.rows(source, 5) == rows_of(expect(sent), source)
    await third.stop()


@pytest.fixture
async def flipping(alone: Settings) -> AsyncIterator[tuple[Stand, FlippingLog, list[Event]]]:
    """A shard whose source A was archived and is hot again, on a log that can flip bytes."""
    log = FlippingLog(alone)
    stand = await start(alone, kafka=log)
    archive = stand.shard._context.archive
    archive._look_s = 0.3
    sent = events(1000)
    await stand.send(sent, 0)
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    await stand.tell(A, State.RESTORING, 2)
    await stand.applied(A, 2)
    yield stand, log, sent
    await stand.stop()


async def test_an_expiry_that_reads_back_damage_copies_the_hot_data_again(
    flipping: tuple[Stand, FlippingLog, list[Event]],
) -> None:
    stand, log, sent = flipping
    table = stand.shard._store.table
    index, former = table.own_segments(A)[1], dict(table.manifest[A])
    # the first copy is damaged, and the next one is not
    log.flips = stand.shard._store.bytes_of(index)
    log.below = max(entry.offset for entry in former.values()) + 1
    await stand.tell(A, State.EXPIRING, 3)
    await stand.applied(A, 3)
    moved = {name for name, entry in table.manifest[A].items() if entry != former[name]}
    assert moved == {index.id}
    (told,) = await until_reported(stand, "mended")
    assert (told["segment"], told["code"]) == (index.id, FailureCode.ARCHIVE_DAMAGED)
    log.flips = b""
    await stand.tell(A, State.RESTORING, 4)
    await stand.applied(A, 4)
    await stand.tell(A, State.STOPPED, 5)
    assert await stand.rows(A, 5) == rows_of(expect(sent), A)


async def test_an_expiry_whose_copies_stay_damaged_waits_and_others_expire(
    flipping: tuple[Stand, FlippingLog, list[Event]],
) -> None:
    stand, log, sent = flipping
    table = stand.shard._store.table
    log.flips = stand.shard._store.bytes_of(table.own_segments(A)[1])
    for source in (A, B):
        await stand.tell(source, State.EXPIRING, 3)
    await stand.applied(B, 3)
    (told, *_) = await until_reported(stand, "delayed")
    assert (told["source"], told["code"]) == (A, FailureCode.ARCHIVE_DAMAGED)
    # nothing of it is dropped
    assert table.applied[A].version == 2
    log.flips = b""
    await stand.applied(A, 3)
    for source in (A, B):
        await stand.tell(source, State.RESTORING, 4)
        await stand.applied(source, 4)
        await stand.tell(source, State.STOPPED, 5)
        assert await stand.rows(source, 5) == rows_of(expect(sent), source)


async def test_a_copy_that_hangs_is_cut_told_and_tried_again(alone: Settings) -> None:
    short = replace(alone, shard_deadline=parse("PT1S"))
    log = SilentLog(short)
    stand = await start(short, kafka=log)
    sent = events(600)
    await stand.send(sent, 0)
    await stand.tell(A, State.EXPIRING, 1)
    (told, *_) = await until_reported(stand, "delayed")
    place = f"{Topics(alone.prefix).archive}[0]@"
    assert (told["source"], told["code"]) == (A, FailureCode.ARCHIVE_SILENT)
    assert told["place"].startswith(place)
    # ingest and answers of the same shard go on, and nothing was dropped
    await stand.send(events(100, seed=1), len(sent))
    everything = expect([*sent, *events(100, seed=1)])
    assert await stand.rows(B) == rows_of(everything, B)
    log.hangs = False
    await stand.applied(A, 1)
    await stand.tell(A, State.RESTORING, 2)
    await stand.applied(A, 2)
    await stand.tell(A, State.STOPPED, 3)
    assert await stand.rows(A, 3) == rows_of(everything, A)
    await stand.stop()


async def test_a_source_that_is_expiring_stays_hot_while_the_archive_would_lose_it(
    alone: Settings,
) -> None:
    log = FiniteLog(alone)
    stand = await start(alone, kafka=log)
    sent = events(600)
    await stand.send(sent, 0)
    await stand.tell(A, State.EXPIRING, 1)
    (told, *_) = await until_reported(stand, "delayed")
    assert (told["source"], told["code"]) == (A, FailureCode.ARCHIVE_UNSAFE)
    assert "retention.ms is 3600000, must be -1. kafka-configs.sh --alter" in told["detail"]
    # looked at again and again, nothing is dropped; other work goes on
    seen = log.asked
    await stand.until(lambda: log.asked >= seen + 2)
    table = stand.shard._store.table
    assert A not in table.applied
    assert sum(index.sources.get(A, 0) for index in table.segments.values()) > 0
    assert await stand.rows(B) == rows_of(expect(sent), B)
    log.finite = False
    await stand.applied(A, 1)
    assert not any(A in index.sources for index in table.segments.values())
    await stand.stop()


async def test_an_expiry_continues_where_three_kills_have_stopped_it(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "_WORK_BYTES", 1)  # a segment a step
    small = replace(alone, segment_rows=20, own_rows=20)
    stand = await start(small)
    sent = events(2000)
    await stand.send(sent, 0)
    await stand.tell(A, State.EXPIRING, 1)
    for kept in (2, 5, 8):
        table = stand.shard._store.table
        await stand.until(lambda: len(table.manifest.get(A, {})) >= kept)  # noqa: B023
        assert A not in table.applied, "it was killed in time"
        await stand.stop()
        stand = await start(small, stand.view)
    await stand.applied(A, 1)
    archive = TopicPartition(Topics(small.prefix).archive, 0)
    size = sum(entry.bytes for entry in stand.shard._store.table.manifest[A].values())
    assert await copied(small, archive) < 1.5 * size
    await stand.tell(A, State.RESTORING, 2)
    await stand.applied(A, 2)
    await stand.tell(A, State.STOPPED, 3)
    assert await stand.rows(A, 3) == rows_of(expect(sent), A)
    await stand.stop()


async def copied(settings: Settings, archive: TopicPartition) -> int:
    """Bytes that were ever sent to the archive, those of aborted steps included."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign([archive])
        await consumer.seek_to_beginning(archive)
        end = (await consumer.end_offsets([archive]))[archive]
        size = 0
        while await consumer.position(archive) < end:
            for record in (await consumer.getmany(timeout_ms=500)).get(archive, ()):
                size += len(record.value)
        return size
    finally:
        await consumer.stop()


async def test_a_merge_that_meets_damage_fills_the_store_anew_and_then_leaves_the_segment_alone(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def gated(shard: ShardContext) -> bool:
        return gate.is_set() and await compact.compact(shard)

    monkeypatch.setattr(loop, "compact", gated)
    stand = await start(alone)
    sent = events(1000)
    for part in range(4):
        await stand.send(sent[250 * part : 250 * (part + 1)], 250 * part)
        await stand.shard._context.flush()
    held = stand.shard._context
    (index, *_) = compact.choose(held)
    data = held.store.bytes_of(index)
    damaged = keys.segment(index.id), data[:-1]
    # only the local store has other bytes: it is filled anew
    held.store.state_store.apply([damaged], None)
    gate.set()
    with pytest.raises(StoreDamaged, match=index.id):
        await asyncio.wait_for(stand.task, DEADLINE_S)
    gate.clear()
    stand = await start(alone, stand.view)
    assert await stand.rows(A) == rows_of(expect(sent), A)
    # the changelog has other bytes: the segment is left alone, and the others are merged
    held = stand.shard._context
    await held.store.commit(Step(puts=[damaged]))
    before = len(held.store.table.segments)
    gate.set()
    stand.shard._work.wake()
    await stand.until(lambda: held.damaged == {index.id})
    await stand.until(lambda: len(held.store.table.segments) < before)
    source = min(set(index.sources) - {"@"})
    await stand.tell(source, State.EXPIRING, 1)
    (told, *_) = await until_reported(stand, "delayed")
    assert (told["source"], told["code"]) == (source, FailureCode.SEGMENT_DAMAGED)
    assert told["segment"] == index.id
    await stand.send(events(100, seed=2), 0)
    await stand.stop()


async def test_an_erasure_leaves_a_damaged_record_and_cleans_the_others(
    erasing: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record stays where it is, and what lies below it, until a person has mended it."""
    monkeypatch.setattr(loop, "_REFUSED_S", 0.2)
    log = FlippingLog(erasing)
    stand = await start(erasing, kafka=log)
    stand.shard._context.archive._look_s = 0.3
    sent = events(1000)
    await stand.send(sent, 0)
    table, store = stand.shard._store.table, stand.shard._store
    await stand.shard._context.flush()
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    await stand.tell(A, State.RESTORING, 2)
    await stand.applied(A, 2)
    index = table.own_segments(A)[1]
    log.flips = store.bytes_of(index)
    offset = table.manifest[A][index.id].offset
    log.below = offset + 1
    # back to the archive without a reading of that record
    await store.commit(Step(puts=remove(table.own_segments(A))))
    await stand.tell(A, State.EXPIRING, 3)
    await stand.applied(A, 3)
    user = str(sent[0][1]["user_id"])
    await erase(stand, "r", [user], START * 2)
    await stand.until(lambda: stand.shard._context.rests.resting(index.id, 0))
    assert table.manifest[A][index.id].offset == offset
    assert not stand.task.done()
    await stand.send(events(50, seed=3), len(sent))
    log.flips = b""
    await cleaned(stand)
    await stand.tell(A, State.RESTORING, 4)
    await stand.applied(A, 4)
    await stand.tell(A, State.STOPPED, 5)
    assert user not in {key[1] for key in await stand.rows(A, 5)}
    await stand.stop()
