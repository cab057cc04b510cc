"""Logs in memory, for one actor at a time: transactions are whole, and a test may end the actor
just before or just after any of them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from schemas.decode.batch_records import RecordBatch
from streams.kafka.log import Partition, Record
from tests.rigs.cursor_reader import CursorReader
from tests.rigs.record_batches import Produced, batch

__all__ = ["MemoryLog"]

_TRANSACTIONAL = 0x10
Stop = Callable[[str], None]


class MemoryLog:
    """`stop` is called with `commit` before and `committed` after each transaction; what it raises
    ends the actor there.
    """

    address = "memory"

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = {}
        #: Which of them were written in a transaction, by topic and offset.
        self.committed: set[tuple[str, int]] = set()
        self.stop: Stop = lambda where: None

    def write(self, topic: str, key: str, value: bytes | None) -> int:
        """Append a record; its offset."""
        kept = self.records.setdefault(topic, [])
        kept.append(Record(topic, key.encode(), value))
        return len(kept) - 1

    @property
    def admin(self) -> Any:
        return _MemoryAdmin(self)

    def reader(self, cursor: Mapping[Partition, int], options: object = None) -> Any:
        return _MemoryReader(self, cursor)

    def appender(self, name: str = "appender") -> Any:
        return _MemoryAppender(self)

    def writer(self, transactional_id: str) -> Any:
        return _MemoryWriter(self)


class _MemoryAdmin:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        return {one: (0, len(self._log.records.get(one[0], []))) for one in partitions}

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        return [(topic, 0) for topic in topics]

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(topics, "1")


class _MemoryAppender:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def append(self, record: Record) -> None:
        self._log.write(record.topic, (record.key or b"").decode(), record.value)

    async def close(self) -> None: ...


class _MemoryWriter:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def commit(self, records: Sequence[Record]) -> list[int]:
        self._log.stop("commit")
        offsets = [
            self._log.write(one.topic, (one.key or b"").decode(), one.value) for one in records
        ]
        self._log.committed |= {(one.topic, at) for one, at in zip(records, offsets, strict=True)}
        self._log.stop("committed")
        return offsets


class _MemoryReader(CursorReader):
    def __init__(self, log: MemoryLog, cursor: Mapping[Partition, int]) -> None:
        super().__init__(cursor)
        self._log = log

    async def fetch(self, max_wait_ms: int = 0) -> list[RecordBatch]:
        """What there is; the others have their turn first."""
        for _ in range(5):
            await asyncio.sleep(0)
        return self._rest()

    async def progress(self) -> list[RecordBatch]:
        return await self.fetch()

    def _rest(self) -> list[RecordBatch]:
        found = []
        for (topic, number), at in self._positions.items():
            rest = self._log.records.get(topic, [])[at:]
            for offset, one in enumerate(rest, at):
                attributes = _TRANSACTIONAL if (topic, offset) in self._log.committed else 0
                made = [Produced(one.value, one.key)]
                found.append(batch(made, topic=topic, base_offset=offset, attributes=attributes))
            self._positions[topic, number] = at + len(rest)
        return found
