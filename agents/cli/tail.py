"""Shows a topic's last records to people, without a consumer group."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from agents.terminal.table import when
from schemas.decode.batch import KafkaRecord, RecordBatch, unpack
from schemas.errors import Recoverable, UsageError
from schemas.records.codec import Undecodable, decode
from schemas.words.nearest import nearest
from streams.kafka.environment import Environment
from streams.kafka.log import LogReader, Partition, ReaderOptions
from streams.kafka.refusal import unreachable
from streams.kafka.topics import Topics

__all__ = ["TailLine", "readable", "tail"]

_DEADLINE_S = 30.0
_FETCH_BYTES = 4_000_000
_SHOWN_BYTES = 200
_IDLE_MS = 1_000


@dataclass(frozen=True, slots=True)
class TailLine:
    """One record. `value` is decoded if possible; else its first bytes as text."""

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
        time = when(self.timestamp, "milliseconds")
        value = json.dumps(self.value, default=str, ensure_ascii=False)
        headers = f" {self.headers}" if self.headers else ""
        return f"{time} {self.partition}/{self.offset} {self.key or '-'}{headers} {value}"


async def tail(
    environment: Environment,
    topic: str,
    *,
    last: int,
    follow: bool,
    show: Callable[[TailLine], None],
) -> None:
    """Show the last records of all partitions, at most `last`; then, with `follow`, new ones.

    Raises UsageError for a topic that does not exist, Recoverable where no broker answers.
    """
    settings, kafka = environment.settings, environment.kafka
    parts = _parts(await kafka.admin.topics(), settings.prefix, topic)
    spans = await kafka.admin.bounds(parts)
    ends = {partition: end for partition, (_, end) in spans.items()}
    # markers of transactions take offsets too: some more than asked for
    starts = {one: max(begin, end - 2 * last) for one, (begin, end) in spans.items()}
    fetcher = kafka.reader(starts, ReaderOptions(bytes_per_fetch=_FETCH_BYTES, name="tail"))
    await fetcher.start()
    try:
        for line in await _until(fetcher, ends, last):
            show(line)
        while follow:
            for line in _lines(await fetcher.fetch(_IDLE_MS)):
                show(line)
    except (KafkaError, TimeoutError, OSError) as error:
        otherwise = Recoverable(
            f"The Kafka broker at {settings.bootstrap_servers} does not answer any more",
            remedy="Start it again, or try again",
        )
        raise unreachable(error, otherwise) from error
    finally:
        await fetcher.close()


def _parts(there: dict[str, int], prefix: str, topic: str) -> list[Partition]:
    name = Topics(prefix).named(topic)
    if name not in there:
        near = [known for known in Topics(prefix).all() if topic in known and known in there]
        like = near[0] if near else nearest(name, there)
        hint = f"Did you mean {like}" if like else "`emberline topics create` makes them all"
        raise UsageError(f"There is no topic {name}", remedy=hint)
    return [(name, part) for part in range(there[name])]


async def _until(fetcher: LogReader, ends: dict[Partition, int], last: int) -> list[TailLine]:
    lines: list[TailLine] = []
    async with asyncio.timeout(_DEADLINE_S):
        while last and any(fetcher.position(one) < end for one, end in ends.items()):
            lines += _lines(await fetcher.fetch(_IDLE_MS))
            lines = sorted(lines, key=lambda line: (line.timestamp, line.offset))[-last:]
    return lines


def _lines(batches: Iterable[RecordBatch]) -> Iterator[TailLine]:
    for batch in batches:
        for record in unpack(batch):
            yield _line(batch, record)


def _line(batch: RecordBatch, record: KafkaRecord) -> TailLine:
    value = record.value
    return TailLine(
        topic=batch.topic,
        partition=batch.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=_text(record.key) if record.key is not None else None,
        value=readable(value) if value is not None else None,
        bytes=len(value or b""),
        headers={name: _text(content or b"") for name, content in record.headers},
    )


def readable(value: bytes) -> object:
    """A record's value, decoded if possible; else its first bytes as text."""
    try:
        return json.loads(value) if value[:1] == b"{" else decode(value)
    except (Undecodable, ValueError, RecursionError):
        return _text(value)


def _text(data: bytes) -> str:
    return data[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
