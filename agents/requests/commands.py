"""Sends commands to the coordinator: signed, written to `control`, remembered until they are
read.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from agents.coordinator.proof import sign
from agents.coordinator.rules.requests import asked, kept_reason
from agents.http.keyring import KeyRing
from agents.views.request_view import RequestView
from schemas.errors import Recoverable
from schemas.records import codec
from schemas.records.lifecycle import Command
from schemas.records.registry import own_id
from schemas.records.trace import header
from streams.clock import Clock
from streams.kafka.log import Log, LogAppender, Record
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["Commands", "NotSent", "Sent", "TooLong"]

MOST_BYTES = 900_000
"""Of one command: it is one record."""
MOST_SENT = 1_000


class NotSent(Recoverable):
    """It is unknown whether Kafka has the command; sending it again, under its id, is safe."""


class TooLong(Exception):
    """A command that does not fit into a record."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that the coordinator has not yet read, as far as is known; `time`: UTC
    milliseconds.

    `command` is without its sources, of which there may be very many, and with the part of its
    reason that is kept; `asked` identifies what it asks for.
    """

    command: Command
    time: int
    asked: str

    def repeated_by(self, command: Command) -> bool:
        """Whether another command with its id has the same body."""
        own = self.command
        return (
            self.asked == asked(command)
            and own.reason == kept_reason(command)
            and set(own.recipients) == set(command.recipients)
        )


class Commands:
    """The commands of one worker. Connects to Kafka at the first one."""

    def __init__(
        self,
        settings: Settings,
        kafka: Log,
        keyring: KeyRing,
        clock: Clock,
        requests: RequestView,
    ) -> None:
        self._topic = Topics(settings.prefix).control
        self._kafka = kafka
        self._keyring = keyring
        self._clock = clock
        self._requests = requests
        self._appender: LogAppender | None = None
        self._sent: OrderedDict[str, Sent] = OrderedDict()
        #: Those that Kafka has not yet acknowledged, by id; their number is that of the callers.
        self._under_way: dict[str, list[Sent]] = {}

    def __len__(self) -> int:
        """How many commands are remembered."""
        return len(self._sent)

    def sent(self, request_id: str) -> Sent | None:
        """A command of this worker that the coordinator has not yet read, as far as is known; one
        that Kafka has not yet acknowledged is one too.
        """
        if self._requests.get(request_id) is not None:
            return None
        under_way = self._under_way.get(request_id)
        return under_way[0] if under_way else self._sent.get(request_id)

    async def send(self, command: Command, trace: str = "") -> None:
        """Write a command that has a request id; its `actor`, if any, is proven to the coordinator.
        `trace` is the trace context of the caller (schemas/records/trace.py), empty without one.

        Raises NotSent, TooLong.
        """
        if command.request_id is None:
            raise ValueError("a command that is sent has a request id")
        value = codec.encode("command", command.to_record(), own_id("command"))
        if len(value) > MOST_BYTES:
            raise TooLong
        now = self._clock.now_ms()
        headers = header(trace)
        keys = self._keyring.keys
        if command.actor is not None and keys is not None and keys.command_key:
            headers += sign(keys.command_key, self._topic, command.actor, value, now)
        if self._appender is None:
            self._appender = self._kafka.appender("commands")
        key = command.request_id.encode()
        small = replace(command, sources=(), users=(), reason=kept_reason(command))
        sent = Sent(small, now, asked(command))
        # before it is written: another one with its id may come meanwhile
        with self._noted(command.request_id, sent):
            try:
                await self._appender.append(Record(self._topic, key, value, headers=headers))
            except Recoverable as error:
                raise NotSent(error.message, remedy=error.remedy) from error
        self._sent.pop(command.request_id, None)
        self._sent[command.request_id] = sent
        while self._sent and (len(self._sent) > MOST_SENT or self._oldest_read()):
            self._sent.popitem(last=False)

    @contextmanager
    def _noted(self, request_id: str, sent: Sent) -> Iterator[None]:
        under_way = self._under_way.setdefault(request_id, [])
        under_way.append(sent)
        try:
            yield
        finally:
            under_way.remove(sent)
            if not under_way:
                del self._under_way[request_id]

    def _oldest_read(self) -> bool:
        return self._requests.get(next(iter(self._sent))) is not None

    async def close(self) -> None:
        """Disconnect."""
        if self._appender is not None:
            await self._appender.close()
