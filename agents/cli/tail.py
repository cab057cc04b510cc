"""Reading a topic's last records for people, as they are and without a consumer group."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.codec import Undecodable, decode
from schemas.errors import Recoverable, UsageError
from schemas.words import nearest
from streams import bootstrap
from streams.settings import Settings
from streams.topics import Topics, partitions

__all__ = ["Line", "readable", "tail"]

_START_S = 30.0
_SHOWN_BYTES = 200
_IDLE_MS = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """One record. `value` is decoded where that can be; else its first bytes as text."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    value: object
    bytes: int
    headers: dict[str, str]

    def text(self) -> str:
        """One line for people."""
        when = datetime.fromtimestamp(self.timestamp / 1000, UTC).isoformat(timespec="milliseconds")
        value = json.dumps(self.value, default=str, ensure_ascii=False)
        headers = f" {self.headers}" if self.headers else ""
        return f"{when} {self.partition}/{self.offset} {self.key or '-'}{headers} {value}"


async def tail(
    settings: Settings, topic: str, *, last: int, follow: bool, show: Callable[[Line], None]
) -> None:
    """Show the last records of all partitions, at most `last`; then, with `follow`, new ones.

    Raises UsageError for a topic that does not exist, Recoverable where no broker answers.
    """
    parts = _parts(await partitions(settings), settings.prefix, topic)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        client_id=f"{settings.client_id}-tail",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    bootstrap.adopt(consumer._client, bootstrap.READ_S)
    try:
        async with asyncio.timeout(_START_S):
            await consumer.start()
            consumer.assign(parts)
            ends = await _seek(consumer, parts, last)
        for line in await _until(consumer, ends, last):
            show(line)
        while follow:
            for records in (await consumer.getmany(timeout_ms=_IDLE_MS)).values():
                for record in records:
                    show(_line(record))
    except BrokenPipeError:
        raise  # that is stdout, not the broker
    except (KafkaError, TimeoutError, OSError) as error:
        raise Recoverable(
            f"The Kafka broker at {settings.bootstrap_servers} does not answer any more",
            remedy="Start it again, or try again",
        ) from error
    finally:
        await consumer.stop()


def _parts(there: dict[str, int], prefix: str, topic: str) -> list[TopicPartition]:
    name = Topics(prefix).named(topic)
    if name not in there:
        near = [known for known in Topics(prefix).all() if topic in known and known in there]
        like = near[0] if near else nearest(name, there)
        hint = f"Did you mean {like}" if like else "`emberline topics create` makes them all"
        raise UsageError(f"There is no topic {name}", remedy=hint)
    return [TopicPartition(name, part) for part in range(there[name])]


async def _seek(
    consumer: AIOKafkaConsumer, parts: list[TopicPartition], last: int
) -> dict[TopicPartition, int]:
    begins = await consumer.beginning_offsets(parts)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(parts)
    for partition, end in ends.items():
        # markers of transactions take offsets too: some more than asked for
        consumer.seek(partition, max(begins[partition], end - 2 * last))
    return ends


async def _until(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], last: int
) -> list[Line]:
    lines: list[Line] = []
    while last:
        found = await consumer.getmany(timeout_ms=_IDLE_MS)
        lines += [_line(record) for records in found.values() for record in records]
        lines = sorted(lines, key=lambda line: (line.timestamp, line.offset))[-last:]
        at = [await consumer.position(partition) >= end for partition, end in ends.items()]
        # a marker at the very end can hold a position below it for ever: silence ends it too
        if all(at) or not found:
            break
    return lines


def _line(record: Any) -> Line:
    value: bytes | None = record.value
    return Line(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=_text(record.key) if record.key is not None else None,
        value=readable(value) if value is not None else None,
        bytes=len(value or b""),
        headers={name: _text(content or b"") for name, content in record.headers},
    )


def readable(value: bytes) -> object:
    """A record's value, decoded where that can be; else its first bytes as text."""
    try:
        return json.loads(value) if value[:1] == b"{" else decode(value)
    except (Undecodable, ValueError, RecursionError):
        return _text(value)


def _text(data: bytes) -> str:
    return data[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
