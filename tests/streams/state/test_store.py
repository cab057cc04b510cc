"""A shard's store on a real broker: committed data is there again after any takeover."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from schemas.tables.counts import COUNT_SCHEMA
from schemas.tables.delta import encode
from schemas.tables.profile import PROFILE
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Fenced
from streams.kafka.topic_reader import read_all
from streams.kafka.topic_repair import set_configs
from streams.kafka.topics import Topics, configs
from streams.settings import Settings, load
from streams.state import auxiliary_table as auxiliary
from streams.state import compaction_plan, keys
from streams.state.changelog import WrongPartitions
from streams.state.hot_table import Applied, ManifestEntry
from streams.state.range_scan import range_scan
from streams.state.rocks import StoreClosed
from streams.state.state_store import StateStore, shared_cache
from streams.state.store import Step, Store, new_id
from tests.rigs.rows import as_dict, random_rows

pytestmark = pytest.mark.connected

LIMITS = compaction_plan.SegmentLimits(rows=100, bytes=900_000, own_rows=60)


@pytest.fixture
async def store(settings: Settings, topics: Topics) -> AsyncIterator[Store]:
    opened = make(settings)
    await opened.takeover()
    yield opened
    await opened.close()


def make(settings: Settings, folder: str = "one") -> Store:
    return Store(
        Environment.of(settings), 2, Path(settings.data_dir) / folder, shared_cache(8 << 20)
    )


def delta(store: Store, frame: pl.DataFrame, offset: int) -> Step:
    key = keys.delta(store.table.next_sequence, 0)
    return Step(
        puts=[(key, encode(frame)), store.table.cursor_put({"t": offset})], frames={key: frame}
    )


def segment_id() -> str:
    return new_id(1_700_000_000_000)


async def rows_of(store: Store) -> dict[tuple[object, ...], tuple[int, int]]:
    frames = list(store.table.deltas.values())
    frames += [await store.read(index) for index in store.table.segments.values()]
    return as_dict(frame.filter(pl.col("source") != PROFILE) for frame in frames)


async def fill(store: Store) -> list[pl.DataFrame]:
    """Three deltas, the first two flushed."""
    frames = [random_rows(seed, 300) for seed in range(3)]
    for number, frame in enumerate(frames[:2]):
        await store.commit(delta(store, frame, number + 1))
    await store.commit(
        Step(puts=compaction_plan.flush(dict(store.table.deltas), segment_id, LIMITS))
    )
    await store.commit(delta(store, frames[2], 3))
    return frames


@pytest.mark.parametrize("disk", ["warm", "cold"])
async def test_takeover_brings_back_what_was_committed(
    store: Store, settings: Settings, disk: str
) -> None:
    frames = await fill(store)
    before = store.table
    await store.close()
    with pytest.raises(StoreClosed):  # as a read that its shard has just begun
        await store.pin()
    if disk == "cold":
        shutil.rmtree(Path(settings.data_dir) / "one")

    again = make(settings)
    await again.takeover()
    try:
        assert again.table.cursor == {"t": 3}
        assert again.table.segments == before.segments
        assert again.table.origin == before.origin
        assert await rows_of(again) == as_dict(frames)
        assert again.table.next_sequence == before.next_sequence
        assert again.table.next_sequence > 2, "numbers of flushed deltas are not given again"
    finally:
        await again.close()


async def test_a_state_store_is_behind_and_catches_up(store: Store, settings: Settings) -> None:
    await store.commit(delta(store, random_rows(1, 10), 1))
    await store.close()
    shutil.copytree(Path(settings.data_dir) / "one", Path(settings.data_dir) / "old")
    ahead = make(settings)
    await ahead.takeover()
    frames = [random_rows(1, 10), *await fill(ahead)]
    await ahead.close()

    behind = make(settings, "old")
    await behind.takeover()
    try:
        assert await rows_of(behind) == as_dict(frames)
    finally:
        await behind.close()


STRANGE = [
    *[(b"", b""), (b"zz/1", b"x"), (b"\xff\xfe", b"\xff")],
    *[(b"f", None), (b"o", None), (b"c", None), (b"v/campaign:a", None)],
    *[(b"o", b"garbage"), (b"o", b"{}"), (b"c", b"garbage"), (b"c", b"[" * 100_000)],
    *[(b"c", b'{"offsets": {"t": "x"}, "sequence": 1}'), (b"c", b'{"offsets": 1, "sequence": 2}')],
    *[(b"v/campaign:a", b"garbage"), (b"v/campaign:a", b'{"version": "9", "state": "EXPIRING"}')],
    *[(b"m/campaign:a/xx", b"{}"), (b"m/campaign:a/" + b"0" * 24, b"garbage")],
    *[
        (b"i/foo", b"{}"),
        (b"i/" + b"0" * 24, b"garbage"),
        (b"s/foo", b"x"),
        (b"n/campaign:a", b"+"),
    ],
    *[
        (b"%b/zz" % letter, b"x")
        for letter in (b"d", b"e", b"h", b"q", b"w", b"x", b"a", b"r", b"y")
    ],
    *[(b"%b/%016x/000" % (letter, 1), b"garbage") for letter in (b"d", b"e", b"h", b"q", b"x")],
    *[(b"%b/00/%b/000" % (letter, b"0" * 24), b"garbage") for letter in (b"a", b"r", b"y")],
]


async def test_foreign_records_in_the_changelog_stop_no_shard(
    store: Store, settings: Settings
) -> None:
    """What a shard cannot have written is left out, and the entry before it holds."""
    frames = await fill(store)
    before = store.table
    await store.close()
    topic = Topics(settings.prefix).changelog
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    for key, value in STRANGE:
        await producer.send_and_wait(topic, value, key=key, partition=2)
    await producer.stop()

    for folder in ("one", "two"):
        again = make(settings, folder)
        await again.takeover()
        try:
            assert again.table.cursor == before.cursor
            assert again.table.origin == before.origin
            assert again.table.segments == before.segments
            assert (again.table.applied, again.table.manifest) == ({}, {})
            assert await rows_of(again) == as_dict(frames)
        finally:
            await again.close()


async def test_a_changelog_from_a_backup_is_read_although_no_shard_has_written_it(
    store: Store, settings: Settings
) -> None:
    frames = await fill(store)
    counts = pl.DataFrame(schema=COUNT_SCHEMA)
    sides: list[tuple[bytes, bytes | None]] = [
        (keys.delta(9, 0, b"e"), encode(counts)),
        (keys.run(b"a", 0, segment_id(), 0), auxiliary.encode(counts)),
        (keys.applied("campaign:a"), Applied(4, "EXPIRING").to_json()),
        (
            keys.manifest_entry("campaign:a", segment_id()),
            ManifestEntry(1, 2, 3, "0" * 32, 1).to_json(),
        ),
    ]
    await store.commit(Step(puts=sides))
    before = store.table
    await store.close()
    topic = Topics(settings.prefix).changelog
    saved = [record for _, shard, record in await read_all(KafkaLog(settings), topic) if shard == 2]
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    for record in saved:
        await producer.send_and_wait(topic, record.value, key=record.key, partition=3)
    await producer.stop()

    folder = Path(settings.data_dir) / "three"
    again = Store(Environment.of(settings), 3, folder, shared_cache(8 << 20))
    await again.takeover()
    try:
        table = again.table
        assert (table.cursor, table.origin) == (before.cursor, before.origin)
        assert (table.segments, table.runs) == (before.segments, before.runs)
        assert (table.applied, table.manifest) == (before.applied, before.manifest)
        assert await rows_of(again) == as_dict(frames)
    finally:
        await again.close()


async def test_the_former_owner_is_fenced_and_changes_nothing(
    store: Store, settings: Settings
) -> None:
    frames = await fill(store)
    newer = make(settings, "two")
    await newer.takeover()
    try:
        with pytest.raises(Fenced):
            await store.commit(delta(store, random_rows(9, 10), 9))
        assert newer.table.cursor == {"t": 3}
        assert await rows_of(newer) == as_dict(frames)
    finally:
        await newer.close()


async def test_a_state_store_of_another_incarnation_is_thrown_away(
    store: Store, settings: Settings
) -> None:
    await fill(store)
    await store.close()
    shutil.copytree(Path(settings.data_dir) / "one", Path(settings.data_dir) / "moved")
    other = Store(
        Environment.of(settings), 3, Path(settings.data_dir) / "moved", shared_cache(8 << 20)
    )
    await other.takeover()
    try:
        assert not other.table.segments
        assert not other.table.deltas
    finally:
        await other.close()


def counted(times: int) -> bytes:
    """A delta of the counts: this many events of one day."""
    fields = dict.fromkeys(COUNT_SCHEMA) | {"source": "campaign:a", "count": times}
    return encode(pl.DataFrame([fields], schema=COUNT_SCHEMA))


@pytest.mark.parametrize(
    ("keeps_ms", "away_ms", "trusted"),
    [
        (900_000, 500_000, False),
        (900_000, 300_000, True),
        (86_400_000, 500_000, True),
        (86_400_000, 50_000_000, False),
        # a clock that went back says nothing of how long it was
        (900_000, -500_000, False),
    ],
)
async def test_a_state_store_is_thrown_away_before_it_may_have_missed_a_deletion(
    store: Store, settings: Settings, keeps_ms: int, away_ms: int, trusted: bool
) -> None:
    changelog = Topics(settings.prefix).changelog
    await alter(settings, changelog, {"delete.retention.ms": str(keeps_ms)})
    await store.commit(Step(puts=[(keys.delta(0, 0, auxiliary.COUNTS.delta), counted(620))]))
    await store.close()
    # what it holds besides was deleted while it was away, and compaction took the tombstone too
    state_store = StateStore(Path(settings.data_dir) / "one", shared_cache(8 << 20))
    gone = (keys.delta(1, 0, auxiliary.COUNTS.delta), counted(100))
    state_store.apply([gone], state_store.position(), state_store.stamp_ms() - away_ms)
    state_store.close(flush=True)

    again = make(settings)
    await again.takeover()
    try:
        pinned = await again.pin()
        assert pinned.auxiliary_rows(auxiliary.COUNTS)["count"].to_list() == [
            720 if trusted else 620
        ]
    finally:
        await again.close()


async def test_a_state_store_knows_by_the_brokers_clock_when_it_was_last_full(
    store: Store,
) -> None:
    before = store.state_store.stamp_ms()
    await store.commit(Step(puts=[(b"v/x", b'{"version": 1, "state": "ACTIVE"}')]))
    assert store._writer is not None
    assert store.state_store.stamp_ms() == store._writer.appended_ms
    assert 0 < before <= store.state_store.stamp_ms()


async def test_a_state_store_past_the_end_of_its_log_is_thrown_away(
    store: Store, settings: Settings
) -> None:
    await store.close()
    state_store = StateStore(Path(settings.data_dir) / "one", shared_cache(8 << 20))
    gone = (keys.delta(1, 0, auxiliary.COUNTS.delta), counted(100))
    state_store.apply([gone], state_store.position() + 1_000, state_store.stamp_ms())
    state_store.close(flush=True)
    again = make(settings)
    await again.takeover()
    try:
        assert not again.table.auxiliary[auxiliary.COUNTS.delta]
    finally:
        await again.close()


async def alter(settings: Settings, topic: str, wanted: dict[str, str]) -> None:
    """Set a topic's settings; returns when the broker has heard of it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await set_configs(admin, {topic: wanted})
    await admin.close()
    async with asyncio.timeout(30):
        found = (await configs(settings, [topic]))[topic]
        while not wanted.items() <= found.items():
            found = (await configs(settings, [topic]))[topic]


async def test_another_number_of_partitions_is_refused(store: Store, settings: Settings) -> None:
    await store.close()
    flags = {name: getattr(settings, name) for name in ("bootstrap_servers", "prefix", "data_dir")}
    eight = load({**flags, "partitions": 8}, env={}, file=Path("none.toml"))
    changed = make(eight)
    with pytest.raises(WrongPartitions, match="EMBERLINE_PARTITIONS=4"):
        await changed.takeover()
    await changed.close()


async def test_a_range_scan_folds_a_source_across_segments_and_deltas(store: Store) -> None:
    frames = await fill(store)
    source = "campaign:0001"
    found = [
        frame
        async for frame in range_scan(
            source,
            store.table.segments_of(source),
            [f.filter(pl.col("source") == source) for f in store.table.deltas.frames()],
            store.bytes_of,
        )
    ]
    expected = as_dict(frame.filter(pl.col("source") == source) for frame in frames)
    assert as_dict(found) == expected
    assert sum(frame.height for frame in found) == len(expected)
