"""A worker's commands without Kafka: a coordinator on paper reads them at once."""

import time
from typing import Any

from agents.coordinator.proof import proven
from agents.coordinator.rules.inputs import CommandRead
from agents.views.request_view import RequestView
from schemas.decode.batch_records import KafkaRecord
from schemas.errors import Recoverable
from schemas.records import codec
from schemas.records.lifecycle import Command
from streams.kafka.log import Record
from tests.rigs.desk import Desk

__all__ = ["PaperLog"]


class PaperLog:
    """A log whose appender hands commands to a desk, and whose readers find no broker.

    `key` is that by which workers prove whose a command is. While `silent` the coordinator reads
    nothing, while `broken` nothing is acknowledged.
    """

    address = "paper"

    def __init__(self, desk: Desk, view: RequestView, key: bytes = b"") -> None:
        self.desk = desk
        self.view = view
        self.key = key
        self.silent = self.broken = False
        self.sent: list[Record] = []
        self._told = 0

    @property
    def admin(self) -> Any:
        raise Recoverable("There is no broker")

    def reader(self, *args: Any, **more: Any) -> Any:
        raise Recoverable("There is no broker")

    def writer(self, transactional_id: str) -> Any:
        raise Recoverable("There is no broker")

    def appender(self, name: str = "appender") -> "PaperLog":
        return self

    async def append(self, record: Record) -> int:
        if self.broken:
            raise Recoverable("Nothing is acknowledged", remedy="Look at the broker")
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
