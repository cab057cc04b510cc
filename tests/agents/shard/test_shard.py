"""A shard on a real broker: ingest, expiry, restore, late rows, crashes in between.

The test sets the lifecycle directly, through the shard's state view; it reads the shard's reports
from the topic as the coordinator would.
"""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator
from typing import Any

import polars as pl
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode

from agents.shard.jobs import compact, context, expire, restore
from agents.shard.jobs.loop import WorkLoop
from agents.shard.jobs.reports import Reminder
from agents.supervision.shard_manager import NotHeld
from agents.tools.oracle import expect, rows_of
from agents.tools.publish import Chunk, publish
from agents.views.state_view import StateView
from schemas.decode.batch import unpack
from schemas.decode.forward import TOPIC
from schemas.records import codec
from schemas.records.lifecycle import State
from streams.kafka.fetch import Fetcher
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Record
from streams.kafka.offsets import bounds
from streams.kafka.step import StepProducer
from streams.kafka.topic_reader import read_all
from streams.kafka.topic_repair import set_configs
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state import auxiliary_table as auxiliary
from streams.state import range_scan
from streams.state.rocks import StoreClosed
from streams.state.state_store import StateStore, shared_cache
from tests.rigs.hostile.batches import event_value, hostile_batches, record_of, wire_of
from tests.rigs.hostile.raw_produce import produce
from tests.rigs.shard import DEADLINE_S, SMALL, A, B, Stand, alone, events, start

__all__ = ["alone"]

pytestmark = pytest.mark.connected


@pytest.fixture
async def stand(alone: Settings) -> AsyncIterator[Stand]:
    opened = await start(alone)
    yield opened
    await opened.stop()


async def test_ingest_makes_the_interactions_of_the_events(stand: Stand) -> None:
    sent = events(1000)
    await stand.send(sent, 0)
    expected = expect(sent)
    for source in (A, B, SMALL):
        assert await stand.rows(source) == rows_of(expected, source)


async def test_sources_without_a_definition_are_reported_once(stand: Stand) -> None:
    await stand.send(events(100), 0)
    await stand.send(events(100, seed=1), 100)
    async with asyncio.timeout(DEADLINE_S):
        seen = await stand.reports("seen")
        while len(seen) < 3:
            seen = await stand.reports("seen")
    assert sorted(item["source"] for item in seen) == [A, SMALL, B]


async def test_sources_that_were_not_reported_are_reported_after_a_restart(alone: Settings) -> None:
    first = await start(alone, caught_up=False)
    await first.send(events(100), 0)
    assert not await first.reports("seen")
    await first.stop()

    second = await start(alone)
    try:
        await second.tell(B, State.ACTIVE, 1)
        async with asyncio.timeout(DEADLINE_S):
            while not (seen := await second.reports("seen")):
                pass
        assert {item["source"] for item in seen} >= {A, SMALL}
    finally:
        await second.stop()


async def test_late_rows_that_came_before_the_view_was_read_are_reported(alone: Settings) -> None:
    stand = await start(alone, caught_up=False)
    try:
        await stand.send(events(30, sources=(A,)), 0)
        await stand.tell(A, State.EXPIRED, 2)
        stand.view.caught_up.set()
        async with asyncio.timeout(DEADLINE_S):
            while not (seen := await stand.reports("seen")):
                pass
        told = {item["source"]: (item["version"], item["interactions"]) for item in seen}
        assert told == {A: (2, 27), SMALL: (0, 3)}
    finally:
        await stand.stop()


async def test_expiry_moves_exactly_the_source_and_restore_brings_it_back(stand: Stand) -> None:
    sent = events(1000)
    await stand.send(sent, 0)
    expected = expect(sent)
    for source in (A, SMALL):
        await stand.tell(source, State.EXPIRING, 5)
    await stand.applied(A, 5)
    await stand.applied(SMALL, 5)

    table = stand.shard._store.table
    assert not table.by_source.keys() & {A, SMALL}
    assert not {A, SMALL} & table.sources_in_deltas()
    with pytest.raises(NotHeld):
        await stand.rows(A, 5)
    assert await stand.rows(B) == rows_of(expected, B)
    expired = {item["source"]: item for item in await stand.reports("expired")}
    assert expired.keys() == {A, SMALL}
    assert expired[A]["interactions"] >= len(rows_of(expected, A))

    for source in (A, SMALL):
        await stand.tell(source, State.RESTORING, 7)
    await stand.applied(A, 7)
    await stand.applied(SMALL, 7)
    with pytest.raises(NotHeld):
        await stand.rows(A, 7)
    for source in (A, SMALL):
        await stand.tell(source, State.STOPPED, 8)
        assert await stand.rows(source, 8) == rows_of(expected, source)
    restored = {item["source"]: item for item in await stand.reports("restored")}
    for figure in ("interactions", "bytes", "segments", "checksum"):
        assert restored[A][figure] == expired[A][figure]
    assert restored[A]["late_interactions"] == 0


async def test_jobs_report_how_far_each_source_is(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job in (expire, restore):
        monkeypatch.setattr(job, "PROGRESS_S", 0.0)
    monkeypatch.setattr(context, "_WORK_BYTES", 1)  # a segment a step
    await stand.send(events(1000), 0)
    for source in (A, B):
        await stand.tell(source, State.EXPIRING, 5)
    for source in (A, B):
        await stand.applied(source, 5)
    ends = {item["source"]: item for item in await stand.reports("expired")}
    for source in (A, B):
        await stand.tell(source, State.RESTORING, 7)
    for source in (A, B):
        await stand.applied(source, 7)
    told = await stand.reports("progress")
    for version in (5, 7):
        for source in (A, B):
            mine = [one for one in told if (one["source"], one["version"]) == (source, version)]
            done = [one["done"] for one in mine]
            assert done == sorted(set(done)), "each time more"
            for one in mine:
                assert one["total"] == ends[source]["segments"]
                assert 0 < one["done"] <= one["total"]
                assert 0 < one["bytes"] <= ends[source]["bytes"]
    assert {one["version"] for one in told} == {5, 7}


async def test_an_expiry_that_is_cancelled_half_way_loses_nothing(stand: Stand) -> None:
    sent = events(1000)
    await stand.send(sent, 0)
    table = stand.shard._store.table
    await stand.tell(A, State.EXPIRING, 5)
    await stand.until(lambda: bool(table.manifest.get(A)))
    await stand.tell(A, State.RESTORING, 6)
    # of this one nothing has begun
    await stand.tell(B, State.EXPIRING, 5)
    await stand.tell(B, State.RESTORING, 6)
    for source in (A, B):
        await stand.applied(source, 6)
        await stand.tell(source, State.STOPPED, 7)
        assert await stand.rows(source, 7) == rows_of(expect(sent), source)
    assert {item["source"] for item in await stand.reports("restored")} == {A, B}


async def test_a_restore_that_is_cancelled_half_way_loses_nothing(stand: Stand) -> None:
    """Nothing is answered from what it has brought back by then, and the next one brings all."""
    sent = events(1000)
    await stand.send(sent, 0)
    table = stand.shard._store.table
    for source in (A, B):
        await stand.tell(source, State.EXPIRING, 5)
        await stand.applied(source, 5)
    (expired,) = [item for item in await stand.reports("expired") if item["source"] == A]
    archived = set(table.manifest[A])
    await stand.tell(A, State.RESTORING, 7)
    await stand.until(lambda: bool(table.by_source.get(A)))
    await stand.tell(A, State.EXPIRING, 8)
    # of this one nothing has begun
    await stand.tell(B, State.RESTORING, 7)
    await stand.tell(B, State.EXPIRING, 8)
    late = events(60, seed=1, sources=(A,))
    await stand.send(late, len(sent))
    for source in (A, B):
        with pytest.raises(NotHeld):
            await stand.rows(source, 8)
        await stand.applied(source, 8)
    assert not table.own_segments(A)
    assert set(table.manifest[A]) >= archived
    again = [item for item in await stand.reports("expired") if item["source"] == A][-1]
    assert again["version"] == 8
    assert again["interactions"] >= expired["interactions"]
    for source in (A, B):
        await stand.tell(source, State.RESTORING, 9)
        await stand.applied(source, 9)
        await stand.tell(source, State.STOPPED, 10)
        assert await stand.rows(source, 10) == rows_of(expect([*sent, *late]), source)


async def test_a_report_that_was_lost_is_sent_again(stand: Stand) -> None:
    await stand.send(events(300), 0)
    stand.shard._work._reminder = Reminder(stand.shard._context, first_s=0.05)
    for number, (state, phase) in enumerate(
        [(State.EXPIRING, "expired"), (State.RESTORING, "restored")], 1
    ):
        await stand.tell(A, state, number)
        async with asyncio.timeout(DEADLINE_S):
            told = await stand.reports(phase)
            while len(told) < 2:
                told = await stand.reports(phase)
        assert told[0] == told[1]
        # once more, and then as seldom as the coordinator looks for shards that are late
        assert stand.shard._work._reminder._items() == []
    await stand.tell(A, State.STOPPED, 3)
    assert stand.shard._work._reminder._items() == []


async def test_a_source_that_expires_again_unchanged_only_drops(stand: Stand) -> None:
    await stand.send(events(600), 0)
    archive = Topics(stand.settings.prefix).archive
    for version, state in ((1, State.EXPIRING), (3, State.RESTORING), (5, State.EXPIRING)):
        await stand.tell(A, state, version, epoch=(version + 1) // 2)
        await stand.applied(A, version)
        if version == 1:
            archived = await end_of(stand.settings, archive)
    assert await end_of(stand.settings, archive) == archived
    first, second = await stand.reports("expired")
    assert first["checksum"] == second["checksum"]


async def end_of(settings: Settings, topic: str) -> int:
    return (await bounds(settings, [(topic, 0)]))[topic, 0][1]


async def test_late_events_stay_hidden_and_come_with_the_restore(stand: Stand) -> None:
    sent = events(600)
    await stand.send(sent, 0)
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    await stand.tell(A, State.EXPIRED, 2)
    late = events(30, seed=3, sources=(A,))
    await stand.send(late, 600)
    await stand.send(late, 630)
    with pytest.raises(NotHeld):
        await stand.rows(A, 2)
    # the coordinator learns, once, that there is something to restore
    told = [item["version"] for item in await stand.reports("seen") if item["source"] == A]
    # 0: that there is such a source, if nobody had said so before ingest came to pause
    assert told in ([0, 2], [2])
    await stand.tell(A, State.RESTORING, 3)
    await stand.applied(A, 3)
    await stand.tell(A, State.STOPPED, 4)
    assert await stand.rows(A, 4) == rows_of(expect([*sent, *late]), A)
    (report,) = await stand.reports("restored")
    assert report["late_interactions"] > 0


async def _nothing(self: WorkLoop) -> bool:
    return False


async def test_an_expiry_tells_of_rows_that_were_on_their_way_when_it_began(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their step was made before the source expired, and the expiry saw the table before them: if
    nothing else was archived, only its report says that there is something to restore.
    """

    async def expiry() -> None:
        job = expire.Expire(stand.shard._context, {A: (1, 1)})
        while await job.step():
            pass

    # all work is this test's own
    monkeypatch.setattr(WorkLoop, "_once", _nothing)
    store = stand.shard._store
    sent = events(100, sources=(A,))
    async with store._lock:
        coming = asyncio.create_task(stand.send(sent, 0))
        await stand.until(lambda: len(store._lock._waiters or ()) == 1)
        await stand.tell(A, State.EXPIRING, 1)
        work = asyncio.create_task(expiry())
        await stand.until(lambda: len(store._lock._waiters or ()) == 2)
    await asyncio.gather(coming, work)
    (report,) = await stand.reports("expired")
    assert report["interactions"] == 0
    assert report["late_interactions"] > 0
    assert store.table.applied[A].version == 1


async def test_rows_are_late_by_what_is_true_when_their_step_is_written(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step may wait for another one, and a source begin to expire meanwhile."""

    monkeypatch.setattr(WorkLoop, "_once", _nothing)
    await stand.send(events(1, sources=(A,)), 0)
    store = stand.shard._store
    async with store._lock:
        coming = asyncio.create_task(stand.send(events(100, seed=1, sources=(A,)), 1))
        await stand.until(lambda: len(store._lock._waiters or ()) == 1)
        await stand.tell(A, State.EXPIRING, 1)
    await coming
    assert [report["version"] for report in await stand.reports("seen")][-1] == 1


async def test_many_late_rows_are_archived_too(stand: Stand) -> None:
    sent = events(600)
    await stand.send(sent, 0)
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    await stand.tell(A, State.EXPIRED, 2)
    before = len(stand.shard._store.table.manifest[A])
    late = events(400, seed=3, sources=(A,))
    await stand.send(late, 600)
    await stand.until(lambda: len(stand.shard._store.table.manifest[A]) > before)
    await stand.until(lambda: A not in stand.shard._store.table.by_source)
    await stand.tell(A, State.RESTORING, 3)
    await stand.applied(A, 3)
    await stand.tell(A, State.STOPPED, 4)
    assert await stand.rows(A, 4) == rows_of(expect([*sent, *late]), A)


async def test_a_view_that_lags_behind_a_restore_drops_nothing(alone: Settings) -> None:
    """A worker that has just started sees the past first: what it did itself is newer."""
    first = await start(alone)
    sent = events(600)
    await first.send(sent, 0)
    for version, state in ((1, State.EXPIRING), (3, State.RESTORING)):
        await first.tell(A, state, version)
        await first.applied(A, version)
    await first.stop()

    second = await start(alone, StateView())
    try:
        await second.until(lambda: second.shard.ready)
        await second.tell(A, State.EXPIRED, 2)
        assert second.shard._work._late() == {}
        await second.tell(A, State.STOPPED, 4)
        assert await second.rows(A, 4) == rows_of(expect(sent), A)
    finally:
        await second.stop()


@pytest.mark.parametrize("disk", ["warm", "cold"])
async def test_a_new_owner_continues_where_the_old_one_was_interrupted(
    alone: Settings, disk: str
) -> None:
    first = await start(alone)
    sent = events(1000)
    await first.send(sent, 0)
    await first.tell(A, State.EXPIRING, 1)
    # Cut it off somewhere in the middle of the expiry.
    await first.until(lambda: A in first.shard._store.table.manifest)
    await first.stop()
    if disk == "cold":
        shutil.rmtree(alone.data_dir)

    second = await start(alone, first.view)
    try:
        await second.applied(A, 1)
        assert A not in second.shard._store.table.by_source
        await second.tell(A, State.RESTORING, 2)
        await second.applied(A, 2)
        await second.tell(A, State.STOPPED, 3)
        expected = expect(sent)
        assert await second.rows(A, 3) == rows_of(expected, A)
        assert await second.rows(B) == rows_of(expected, B)
    finally:
        await second.stop()


async def test_an_answer_stays_whole_while_the_source_expires(stand: Stand) -> None:
    sent = events(1000)
    await stand.send(sent, 0)
    reading = stand.shard.read(A, None)
    frames = [await anext(reading)]
    await stand.tell(A, State.EXPIRING, 1)
    await stand.applied(A, 1)
    frames += [frame async for frame in reading]
    assert pl.concat(frames).height == len(rows_of(expect(sent), A))


async def test_who_reads_slowly_keeps_no_shard_from_starting_again(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_scan, "_PER_RANGE", 200)
    monkeypatch.setattr(range_scan, "_SAMPLE", 10)
    stand = await start(alone)
    await stand.send(events(2_000, sources=(A,)), 0)
    await stand.shard._context.flush()
    slow = stand.shard.read(A, None)
    seen = len(await anext(slow))
    await stand.stop()
    again = await start(alone)
    try:
        whole = len(await again.rows(A))
        # what it had read ahead it may still give, and then an error: never a short answer
        broken_off = False
        try:
            async for frame in slow:
                seen += len(frame)
        except StoreClosed:
            broken_off = True
        assert broken_off
        assert 0 < seen < whole
    finally:
        await again.stop()


async def test_the_last_word_on_a_user_wins_whatever_was_flushed_before(stand: Stand) -> None:
    async def say(*values: tuple[str, dict[str, Any] | None]) -> None:
        keys = [user.encode() for user, _ in values]
        encoded = [None if record is None else codec.encode("user", record) for _, record in values]
        before = stand.shard._store.table.cursor[topic]
        await publish(stand.settings, [Chunk("users", keys, encoded)])
        await stand.until(lambda: stand.shard._store.table.cursor[topic] >= before + len(values))

    topic = Topics(stand.settings.prefix).users
    await say(
        ("u1", {"user_id": "u1", "external_user_id": "old"}),
        ("u2", {"user_id": "u2", "aliases": ["two"]}),
        ("u3", {"user_id": "u3"}),
    )
    await stand.shard._context.flush()
    await say(("u1", {"user_id": "u1", "external_user_id": "new"}), ("u3", None))
    await stand.stop()
    again = await start(stand.settings)
    try:
        stand.shard, stand.task = again.shard, again.task
        await say(("u2", {"user_id": "u2", "merged_into": "u1"}))
        rows = (await again.shard._store.pin()).auxiliary_rows(auxiliary.ROSTER)
        found = {row["user"]: row for row in rows.to_dicts()}
        assert found["u1"]["external"] == "new"
        assert found["u2"]["merged_into"] == "u1"
        assert found["u2"]["aliases"] is None
        assert found["u3"]["deleted"]
    finally:
        await again.stop()


async def test_a_shard_that_rested_for_long_says_what_it_may_have_missed(
    alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    months = {Topics(alone.prefix).changelog: {"delete.retention.ms": str(200 * 86_400_000)}}
    admin = AIOKafkaAdminClient(bootstrap_servers=alone.bootstrap_servers)
    await admin.start()
    await set_configs(admin, months)
    await admin.close()
    for days, told in ((20, False), (40, True)):
        first = await start(alone)
        await first.stop()
        state_store = StateStore(alone.data_dir / "shard-0", shared_cache(1 << 20))
        state_store.apply([], state_store.position(), state_store.stamp_ms() - days * 86_400_000)
        state_store.close(flush=True)
        again = await start(alone)
        await again.stop()
        assert (f"not running for {days}.0 days" in caplog.text) == told


async def test_users_alone_are_folded_by_what_they_weigh(alone: Settings) -> None:
    stand = await start(alone, shards=400)
    try:
        users = [f"{number:024x}" for number in range(6_000)]
        values = [codec.encode("user", {"user_id": user, "aliases": []}) for user in users]
        keys: list[bytes | None] = [user.encode() for user in users]
        await publish(alone, [Chunk("users", keys, values)])
        table, bound = stand.shard._store.table, stand.shard._work._budget.auxiliary_bytes
        topic = Topics(alone.prefix).users
        await stand.until(lambda: table.cursor.get(topic, 0) >= len(users))
        await stand.until(lambda: table.auxiliary_bytes < bound)
        assert table.delta_rows == 0
        assert table.runs[auxiliary.ROSTER.run]
        rows = (await stand.shard._store.pin()).auxiliary_rows(auxiliary.ROSTER)
        assert rows["user"].to_list() == users
    finally:
        await stand.stop()


async def test_a_repeated_event_counts_once(stand: Stand) -> None:
    sent = events(100)
    await stand.send(sent, 0)
    await stand.send(sent[:50], 100)
    await stand.shard._context.flush()
    await stand.send(sent[50:], 150)
    counts = (await stand.shard._store.pin()).auxiliary_rows(auxiliary.COUNTS)
    assert counts["count"].sum() == 100


async def test_a_repeated_event_counts_once_after_its_hash_was_put_with_others(
    alone: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "_WINDOW_ENTRIES", 3)
    first = await start(alone)
    parts = [events(20, seed=seed) for seed in range(6)]
    for number, part in enumerate(parts):
        await first.send(part, number * 20)
    await first.until(lambda: len(first.shard._store.table.window) <= 3)
    await first.stop()
    again = await start(alone)
    try:
        assert sum(again.shard._store.table.window.values()) == 120
        await again.send([event for part in parts for event in part], 0)
        counted = (await again.shard._store.pin()).auxiliary_rows(auxiliary.COUNTS)
        assert counted["count"].sum() == 120
    finally:
        await again.stop()


async def test_a_flood_of_garbage_is_rejected_record_by_record_and_passed(stand: Stand) -> None:
    """Tens of thousands of tiny records: each makes a reject many times its size."""
    topics = Topics(stand.settings.prefix)
    count = 60_000
    garbage = Chunk("interactions.open", [b"k"] * count, [b"%d" % n for n in range(count)])
    await publish(stand.settings, [garbage])
    await stand.send(events(100), 0)
    await stand.until(lambda: stand.shard._ingest.rejected == count)
    fetcher = Fetcher(stand.settings, {(topics.rejected, 0): 0})
    await fetcher.start()
    found: dict[int, bytes | None] = {}
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < count:
                for batch in await fetcher.fetch():
                    for record in unpack(batch):
                        headers = dict(record.headers)
                        assert headers["code"] == b"undecodable"
                        found[int(headers["offset"] or b"")] = record.value
    finally:
        await fetcher.close()
    assert sorted(map(int, filter(None, found.values()))) == list(range(count))


async def test_a_large_record_with_a_large_header_is_rejected_and_passed(stand: Stand) -> None:
    topics = Topics(stand.settings.prefix)
    headers = ((TOPIC, b"\x00" * 90_000),)
    stranger = Record(topics.repartition, b"k", b"v" * 890_000, headers=headers)
    producer = StepProducer(stand.settings, f"{stand.settings.prefix}stranger")
    await producer.start()
    try:
        await producer.commit([stranger])
    finally:
        await producer.close()
    await stand.until(lambda: stand.shard._ingest.rejected == 1)
    await stand.send(events(10), 0)


async def test_batches_that_a_broker_accepts_and_no_client_writes_stop_nothing(
    stand: Stand,
) -> None:
    """Bombs, bytes behind the payload, garbage with a valid checksum: the shard continues without a
    restart, and each batch is accepted, or rejected with its position.
    """
    topics = Topics(stand.settings.prefix)
    topic, broker = topics.event("open"), stand.settings.bootstrap_servers
    good = event_value("open", 1)
    payload = zstd_encode(record_of(0, good))
    headers = zstd_encode(record_of(0, good, headers=1_000_000))
    values = zstd_encode(b"".join(record_of(n, bytes(1_000_000)) for n in range(50)))
    sure = [
        wire_of(gzip_encode(record_of(0, good)) + b"garbage", 1, 1, 0),
        wire_of(snappy_encode(record_of(0, good)) + b"\0\0\0", 1, 2, 0),
        wire_of(lz4_encode(record_of(0, good)) + b"garbage", 1, 3, 0),
        wire_of(payload + zstd_encode(b""), 1, 4, 0),
        wire_of(headers, 1, 4, 0),
    ]
    assert [await produce(broker, topic, 0, [one]) for one in sure] == [1] * len(sure)
    await stand.until(lambda: stand.shard._ingest.events == len(sure))
    assert await produce(broker, topic, 0, [wire_of(values, 50, 4, 0)]) == 1
    await stand.until(lambda: stand.shard._ingest.rejected == 1)
    # the offset is the broker's to give, and no part of the checksum
    hostile = [bytes(8) + one.wire[8:] for one in itertools.islice(hostile_batches(5), 40)]
    assert await produce(broker, topic, 0, hostile) > 10
    await stand.send(events(30), stand.shard._ingest.events)
    ((_, (_, end)),) = (await bounds(stand.settings, [(topic, 0)])).items()
    await stand.until(lambda: stand.shard._store.table.cursor[topic] == end)
    aside = await read_all(KafkaLog(stand.settings), topics.rejected)
    large = [record for _, _, record in aside if dict(record.headers)["code"] == b"too_large"]
    assert dict(large[0].headers)["offset"] == b"5"
    assert (large[0].key, (large[0].value or b"")[16:17]) == (None, b"\x02")
    assert len(aside) == stand.shard._ingest.rejected
