"""A worker's commands without Kafka: a coordinator on paper reads them at once."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from agents.coordinator.proof import proven
from agents.coordinator.rules.inputs import CommandRead
from agents.views.request_view import RequestView
from schemas.decode.batch_pack import packed
from schemas.decode.batch_records import KafkaRecord, RecordBatch
from schemas.errors import Recoverable
from schemas.records import codec
from schemas.records.lifecycle import Command
from streams.kafka.log import Partition, Record
from streams.kafka.topics import Topics
from tests.rigs.cursor_reader import CursorReader
from tests.rigs.desk import Desk

__all__ = ["PaperLog"]


class PaperLog:
    """A log whose appender hands commands to a desk; its topics have what the desk has written.

    `key` is that by which workers prove whose a command is. While `silent` the coordinator reads
    nothing, while `broken` nothing is acknowledged. With `slow` an append waits for that event;
    `waiting` of them do.
    """

    address = "paper"

    def __init__(
        self, desk: Desk, view: RequestView, key: bytes = b"", prefix: str = "emberline."
    ) -> None:
        self.prefix = prefix
        self.desk = desk
        self.view = view
        self.key = key
        self.silent = self.broken = False
        self.slow: asyncio.Event | None = None
        self.waiting = 0
        self.sent: list[Record] = []
        self._told = 0

    @property
    def admin(self) -> Any:
        return _PaperAdmin(self)

    def reader(self, cursor: Mapping[Partition, int], options: object = None) -> Any:
        return _PaperReader(self, cursor)

    def records(self, partition: Partition) -> list[tuple[bytes | None, bytes]]:
        """Key and value of all that the desk has written to a topic."""
        return [
            (None if one.key is None else one.key.encode(), codec.encode(one.schema, one.record))
            for one in self.desk.said
            if getattr(Topics(self.prefix), one.topic) == partition[0]
        ]

    def writer(self, transactional_id: str) -> Any:
        raise Recoverable("There is no broker")

    def appender(self, name: str = "appender") -> "PaperLog":
        return self

    async def append(self, record: Record) -> int:
        if self.broken:
            raise Recoverable("Nothing is acknowledged", remedy="Look at the broker")
        if self.slow is not None:
            self.waiting += 1
            await self.slow.wait()
            self.waiting -= 1
        self.sent.append(record)
        if not self.silent:
            await self.read(record)
        return len(self.sent) - 1

    async def read(self, record: Record) -> None:
        """The coordinator reads a command, and the view what it makes of that."""
        value = record.value or b""
        found = KafkaRecord(0, int(time.time() * 1000), record.key, value, list(record.headers))
        command = Command.from_record(codec.decode(value, "command"))
        actor = proven(self.key, record.topic, found)
        known = {name: getattr(command, name) for name in Command.__dataclass_fields__}
        self.desk.take(CommandRead(Command(**known | {"actor": actor}), "paper"))
        await self.tell()

    async def tell(self) -> None:
        """The view reads all that the desk has written since."""
        for key, value in self.desk.log[self._told :]:
            self.view.apply(key.encode(), value, self._told)
            self._told += 1
        await self.view.advance(self._told)

    async def close(self) -> None:
        """Nothing is open."""


class _PaperAdmin:
    def __init__(self, log: PaperLog) -> None:
        self._log = log

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        return {one: (0, len(self._log.records(one))) for one in partitions}

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        return [(topic, 0) for topic in topics]


class _PaperReader(CursorReader):
    """Hands over the rest of each partition as one batch that begins at offset 0."""

    def __init__(self, log: PaperLog, cursor: Mapping[Partition, int]) -> None:
        super().__init__(cursor)
        self._log = log

    async def progress(self) -> list[RecordBatch]:
        found = []
        for at in self._positions:
            records = self._log.records(at)
            found.append(packed(records, at[0], self._log.desk.now))
            self._positions[at] = len(records)
        return found
