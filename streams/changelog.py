"""The changelog: reading a shard's durable state back, up to one's own fence.

`end_offsets` of a read_committed consumer is the last stable offset and says nothing about
what is still in flight. So a new owner, after fencing the old one, commits a record with an
id of its own and reads until it sees that record: then it has everything.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator

from schemas.batch import KafkaRecord, unpack
from schemas.errors import Fatal, Recoverable
from streams import keys
from streams.fetch import Fetcher
from streams.hot_table import HotTable, Origin
from streams.mirror import Mirror
from streams.offsets import bounds
from streams.settings import Settings
from streams.step import Record, StepProducer
from streams.topics import DELETE_RETENTION_MS, Topics

__all__ = ["FORMAT", "WrongPartitions", "load", "recover"]

FORMAT = 1
#: A recovery that reads nothing for so long gives up and starts again.
SILENCE_S = 60.0
_APPLY_BYTES = 32_000_000


class WrongPartitions(Fatal):
    """The hot table was built with another number of partitions."""


async def recover(
    settings: Settings, partition: int, producer: StepProducer, mirror: Mirror
) -> tuple[HotTable, int]:
    """Brings the mirror up to this owner's fence and loads the hot table from it.

    The producer must have been started, which fences the former owner. Returns the table and
    the changelog offset after the fence. Raises `WrongPartitions` for another N, `StepFailed`
    or `Fenced` from the fence's commit, `Recoverable` when the changelog stays silent.
    """
    topic = Topics(settings.prefix).changelog
    owner = uuid.uuid4().hex
    fence = Record(topic, keys.FENCE, owner.encode(), partition)
    (fence_offset,) = await producer.commit([fence])
    start, _ = (await bounds(settings, [(topic, partition)]))[topic, partition]
    fetcher = Fetcher(
        settings,
        {(topic, partition): start},
        bytes_per_partition=8_000_000,
        prefetch=True,
        name=f"changelog-{partition}",
    )
    await fetcher.start()
    try:
        origin = await _origin(fetcher, owner)
        position = _resume(mirror, origin, start, fence_offset, settings.partitions, partition)
        fetcher.seek((topic, partition), position)
        await _replay(fetcher, mirror, owner)
    finally:
        await fetcher.close()
    table = await asyncio.to_thread(load, mirror)
    if table.origin is None:
        table.origin = Origin(uuid.uuid4().hex, settings.partitions, FORMAT)
        put = (keys.ORIGIN, table.origin.to_json())
        (offset,) = await producer.commit([Record(topic, put[0], put[1], partition)])
        mirror.apply([put], offset + 1)
    return table, mirror.position()


def load(mirror: Mirror) -> HotTable:
    """The hot table that the mirror's entries make."""
    table = HotTable()
    for prefix in (b"o", b"c", b"i/", b"m/", b"v/", b"n/"):
        table.apply(mirror.items(prefix))
    for prefix in (b"d/", b"e/", b"q/", b"a/", b"r/", b"w/"):
        table.apply(mirror.items(prefix))
    return table


def _resume(
    mirror: Mirror, origin: Origin | None, start: int, fence: int, partitions: int, partition: int
) -> int:
    """Where to go on reading: the mirror's position, or the log's start for a useless mirror.

    A mirror is useless when it belongs to another incarnation of the topic, lies past the
    log's end, or has been away so long that tombstones may have been compacted away.
    """
    if origin is not None and origin.partitions != partitions:
        raise WrongPartitions(
            f"changelog[{partition}] was built with {origin.partitions} partitions, "
            f"and the setting partitions is {partitions}",
            remedy=f"Set EMBERLINE_PARTITIONS={origin.partitions}; another N needs a new prefix "
            "and an import of the events",
        )
    if origin is not None and origin.format != FORMAT:
        raise Fatal(
            f"changelog[{partition}] has format {origin.format}, this version reads {FORMAT}",
            remedy="Run the version of emberline that wrote it",
        )
    mine = mirror.get(keys.ORIGIN)
    known = Origin(**json.loads(mine)) if mine is not None else None
    stale = mirror.age_ms(int(time.time() * 1000)) > DELETE_RETENTION_MS // 2
    if known is None or known != origin or stale or mirror.position() > fence:
        mirror.clear()
        return start
    return max(start, mirror.position())


async def _origin(fetcher: Fetcher, owner: str) -> Origin | None:
    """The origin record, which stands before everything but fences; None for a new changelog."""
    async for record in _records(fetcher):
        if record.key == keys.ORIGIN and record.value is not None:
            return Origin(**json.loads(record.value))
        if record.key == keys.FENCE and record.value == owner.encode():
            return None
    raise AssertionError("unreachable: _records ends only by raising")


async def _replay(fetcher: Fetcher, mirror: Mirror, owner: str) -> None:
    # Most entries are deltas that a flush deletes soon after: what is put and deleted within
    # one stretch is never written.
    waiting: dict[bytes, bytes | None] = {}
    weight = 0
    writing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    writing.set_result(None)
    try:
        async for record in _records(fetcher):
            if record.key is not None:
                weight += len(record.value or b"") - len(waiting.get(record.key) or b"")
                waiting[record.key] = record.value
            done = record.key == keys.FENCE and record.value == owner.encode()
            if done or weight > _APPLY_BYTES:
                await writing
                writing = asyncio.ensure_future(
                    asyncio.to_thread(mirror.apply, list(waiting.items()), record.offset + 1)
                )
                waiting, weight = {}, 0
            if done:
                break
    finally:
        await asyncio.wait([writing])
    await writing


async def _records(fetcher: Fetcher) -> AsyncIterator[KafkaRecord]:
    """The records of a one-partition fetcher, without end."""
    heard = time.monotonic()
    while True:
        batches = await fetcher.fetch()
        if batches:
            heard = time.monotonic()
        elif time.monotonic() > heard + SILENCE_S:
            raise Recoverable(f"the changelog gave nothing for {SILENCE_S:.0f} s")
        for batch in batches:
            for record in unpack(batch):
                yield record
