"""Publishing: the partitioners of other clients, and no loss on a real broker."""

import contextlib
import zlib
from collections.abc import Iterator

import pytest

from agents.tools.demo.chunk import EventChunk
from agents.tools.demo.generator import generate
from agents.tools.publish import Chunk, Publisher, partitions_of, publish
from schemas.errors import Fatal, Recoverable
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, read_all
from streams.kafka.topics import Topics
from streams.settings import Settings, load

KEYS = [f"{n:024x}".encode() for n in range(500)]


def test_keys_go_where_other_clients_put_them() -> None:
    # what Java's DefaultPartitioner answers for these keys of 16 partitions
    known = [b"21", b"foobar", b"a-little-bit-long-string", b"abc"]
    java = [-973932308, -790332482, -985981536, 479470107]
    assert partitions_of(known, 16, "murmur2") == [(h & 0x7FFFFFFF) % 16 for h in java]
    assert partitions_of(KEYS, 7, "crc32") == [zlib.crc32(key) % 7 for key in KEYS]


def test_null_keys_are_spread() -> None:
    for partitioner in ("murmur2", "crc32"):
        places = partitions_of([None, b"x", None, None, None], 4, partitioner)
        assert sorted(p for p, k in zip(places, [0, 1, 0, 0, 0], strict=True) if not k) == [
            0, 1, 2, 3,
        ]  # fmt: skip


@pytest.mark.connected
async def test_everything_arrives_where_it_belongs(settings: Settings, topics: Topics) -> None:
    day = generate(3, 5_000)
    seen: list[int] = []
    published = await publish(settings, day.chunks(), progress=seen.append)
    assert published.events == 5_000 == seen[-1]
    expected = sorted(_placed(topics, day.chunks(), settings.partitions))
    async with TopicReader.open(KafkaLog(settings), topics.events.values()) as reader:
        found = sorted((t, p, r.key, r.value) for t, p, r in await reader.rest())
    assert found == expected


def _placed(
    topics: Topics, chunks: Iterator[EventChunk], partitions: int
) -> Iterator[tuple[str, int, bytes, bytes]]:
    for chunk in chunks:
        places = partitions_of(chunk.keys, partitions, chunk.partitioner)
        for key, value, partition in zip(chunk.keys, chunk.values, places, strict=True):
            yield topics.event(chunk.event), partition, key, value


@pytest.mark.connected
async def test_a_rate_is_kept(settings: Settings, topics: Topics) -> None:
    chunk = Chunk("interactions.send", KEYS, KEYS)
    published = await publish(settings, [chunk, chunk], rate=2_000)
    assert published.seconds >= 0.45
    assert len(await read_all(KafkaLog(settings), topics.event("send"))) == 1_000


@pytest.mark.connected
async def test_records_beyond_a_batch_are_split_and_too_large_ones_refused(
    settings: Settings, topics: Topics
) -> None:
    many = [b"x" * 10_000] * 300
    await publish(settings, [Chunk("catalog", [b"k"] * 300, many)])
    assert len(await read_all(KafkaLog(settings), topics.catalog)) == 300
    with pytest.raises(Fatal, match="has 1010"):
        await publish(settings, [Chunk("catalog", [b"k"], [b"x" * 1_010_000])])


@pytest.mark.connected
async def test_a_transaction_becomes_readable_at_its_end_or_not_at_all(
    settings: Settings, topics: Topics
) -> None:
    async def readable() -> list[bytes | None]:
        records = await read_all(KafkaLog(settings), topics.catalog)
        return [record.value for _, _, record in records]

    publisher_id = f"{settings.prefix}one"
    async with Publisher(settings, transactional_id=publisher_id) as publisher:
        async with publisher.transaction():
            await publisher.publish(Chunk("catalog", [b"k"], [b"kept"]))
            await publisher.flush()
            assert await readable() == []
        with contextlib.suppress(ZeroDivisionError):
            async with publisher.transaction():
                await publisher.publish(Chunk("catalog", [b"k"], [b"lost"]))
                await publisher.flush()
                raise ZeroDivisionError
    await publish(settings, [Chunk("catalog", [b"k"], [b"last"])])
    assert await readable() == [b"kept", b"last"]


@pytest.mark.connected
async def test_a_missing_topic_is_named(broker: str) -> None:
    settings = load({"bootstrap_servers": broker, "prefix": "nowhere."}, env={})
    with pytest.raises(Fatal, match=r"nowhere\.catalog"):
        await publish(settings, [Chunk("catalog", [b"k"], [b"v"])])


async def test_an_absent_broker_is_named() -> None:
    settings = load({"bootstrap_servers": "127.0.0.1:1"}, env={})
    with pytest.raises(Recoverable, match=r"127\.0\.0\.1:1"):
        await publish(settings, [Chunk("catalog", [b"k"], [b"v"])])
