"""Writes the fixture of the upgrade test into new topics, every record at its original offset.

Cursors and manifests contain offsets, so the offsets must be the same. Where the original log has a
transaction marker, another transaction ends: the records before it are written in a transaction,
or, if more than one offset is missing, an aborted transaction fills the gap.
"""

import asyncio
import json
import tarfile
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streams.kafka import topics as topic_admin
from streams.kafka.offsets import bounds
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["remove_topics", "replay", "unpack_stores"]

Row = dict[str, Any]
_AT_ONCE = 8
_DEADLINE_S = 60.0


async def remove_topics(settings: Settings) -> None:
    """Delete every topic of the prefix, and wait until they are gone."""
    names = {settings.prefix + name for name in Topics("").all()}
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        async with asyncio.timeout(_DEADLINE_S):
            while left := sorted(names & set(await admin.list_topics())):
                await admin.delete_topics(left)
                await asyncio.sleep(0.1)  # the broker tells nobody
    finally:
        await admin.close()


def unpack_stores(fixture: Path, settings: Settings, *, shards: bool = True) -> None:
    """Put the data folder where a worker with these settings looks for it; its stores too, or only
    its other files."""

    def kept(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        wanted = shards or not member.name.startswith("data/shard-")
        return tarfile.data_filter(member, folder) if wanted else None

    with tarfile.open(fixture / "stores.tar.gz") as tar:
        tar.extractall(settings.data_dir.parent, filter=kept)


async def replay(fixture: Path, settings: Settings) -> None:
    """Make the topics and write all records; the newest as of now. Raises AssertionError where
    an offset is not what it was."""
    await topic_admin.create(settings)
    frame = pl.read_parquet(fixture / "records.parquet")
    spans = json.loads((fixture / "spans.json").read_text())
    shift = int(time.time() * 1000) - int(frame["time"].max())  # type: ignore[arg-type]
    rows: dict[tuple[str, int], list[Row]] = {
        key: list(group)
        for key, group in groupby(
            frame.sort("topic", "partition", "offset").iter_rows(named=True),
            lambda row: (row["topic"], row["partition"]),
        )
    }
    for kept in rows.values():
        kept[:] = map(_without_ids, kept)
    parts = [(name, int(p), span) for name, found in spans.items() for p, span in found.items()]
    # asked until every partition has a leader
    begun = await bounds(settings, [(settings.prefix + name, p) for name, p, _ in parts])
    assert set(begun.values()) == {(0, 0)}
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, partition: int, span: list[int]) -> None:
        async with gate:
            part = TopicPartition(settings.prefix + name, partition)
            await _partition(settings, part, rows.get((name, partition), []), span[1], shift)

    async with asyncio.timeout(_DEADLINE_S), asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(one(*part))
    await _delete_below(settings, parts)
    for name, partition, span in parts:
        await _ended_at(settings, TopicPartition(settings.prefix + name, partition), span[1])
    ends = await bounds(settings, [(settings.prefix + name, p) for name, p, _ in parts])
    wanted = {(settings.prefix + name, p): tuple(span) for name, p, span in parts}
    assert ends == wanted


def _without_ids(row: Row) -> Row:
    """The record without the ids of topics that cursors name: the new topics have others."""
    if row["key"] != b"c" or row["topic"] not in ("changelog", "coordinator", "notifications"):
        return row
    found = json.loads(row["value"])
    for name in {"topics", "ids"} & set(found):
        found[name] = {}
    headers = [one for one in row["headers"] if one["name"] != "topic-ids"]
    return {**row, "value": json.dumps(found).encode(), "headers": headers}


async def _delete_below(settings: Settings, parts: list[tuple[str, int, list[int]]]) -> None:
    gone = {
        TopicPartition(settings.prefix + name, p): RecordsToDelete(before_offset=span[0])
        for name, p, span in parts
        if span[0]
    }
    if gone:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_records(gone)
        finally:
            await admin.close()


async def _partition(
    settings: Settings, part: TopicPartition, rows: list[Row], end: int, shift: int
) -> None:
    """Write one partition from offset 0 up to `end`."""
    if not end:
        return
    # idempotent: a batch sent again has its place in the log once
    plain = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, acks="all", enable_idempotence=True
    )
    inside = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        transactional_id=f"{part.topic}-{part.partition}-replay",
    )
    await plain.start()
    await inside.start()
    try:
        reached = 0
        for run in [[], *_runs(rows)]:
            reached += len(run)
            following = next((row["offset"] for row in rows if row["offset"] >= reached), end)
            gap = following - reached
            if run and gap == 1:
                async with inside.transaction():
                    await _send(inside, part, run, shift)
                gap = 0
            elif run:
                await _ended_at(settings, part, reached - len(run))
                await _send(plain, part, run, shift)
            if gap:
                assert gap > 1, f"{part}: one offset at {reached} cannot be left out"
                await inside.begin_transaction()
                for _ in range(gap - 1):
                    await inside.send_and_wait(part.topic, b"", partition=part.partition)
                await inside.abort_transaction()
            reached = following
    finally:
        await plain.stop()
        await inside.stop()


async def _ended_at(settings: Settings, part: TopicPartition, end: int) -> None:
    """Wait until the log ends there: a transaction's marker comes after its commit's answer."""
    async with asyncio.timeout(_DEADLINE_S):
        while (await bounds(settings, [tuple(part)]))[tuple(part)][1] < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the broker tells nobody


def _runs(rows: list[Row]) -> list[list[Row]]:
    """Rows of consecutive offsets."""
    found = groupby(enumerate(rows), lambda pair: pair[1]["offset"] - pair[0])
    return [[row for _, row in run] for _, run in found]


async def _send(
    producer: AIOKafkaProducer, part: TopicPartition, rows: list[Row], shift: int
) -> None:
    sent = [
        await producer.send(
            part.topic,
            row["value"],
            key=row["key"],
            partition=part.partition,
            timestamp_ms=row["time"] + shift,
            headers=[(one["name"], one["value"]) for one in row["headers"]],
        )
        for row in rows
    ]
    for row, done in zip(rows, sent, strict=True):
        offset = (await done).offset
        assert offset == row["offset"], (part, offset, row["offset"])
