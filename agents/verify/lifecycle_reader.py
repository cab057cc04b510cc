"""Reads `lifecycle.state` step by step, the events of expiries and restores, and the coordinator's
bookkeeping.
"""

import asyncio
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import Source
from agents.verify.checks.totals import LifecycleEvent
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.log_scan import LogScan
from agents.views.state_view import StateView
from schemas.decode.batch_records import KafkaRecord
from schemas.records import codec
from streams.kafka import stored_format
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import names_source, own_key
from streams.kafka.topic_specs import Topics

__all__ = ["LifecycleReader", "Snapshot", "read_coordinator", "read_events"]

Snapshot = dict[str, tuple[object, ...]]
"""State, version and epoch by source."""


class LifecycleReader:
    """The records of `lifecycle.state` up to the last `advance`. Use it as a context.

    `damaged` has the sources whose latest record cannot be read, with its offset and the reason:
    the record before it counts.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._partition = (Topics(environment.settings.prefix).state, 0)
        self._scan = LogScan(environment, self._partition, 0)
        self.view = StateView()
        self.offsets: dict[str, int] = {}
        self.damaged: dict[str, tuple[int, str]] = {}
        self._findings: list[Finding] = []

    async def __aenter__(self) -> Self:
        bounds = await self._environment.kafka.admin.bounds([self._partition])
        self._scan = LogScan(self._environment, self._partition, bounds[self._partition][0])
        await self._scan.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._scan.__aexit__(kind, error, at)

    async def advance(self) -> Snapshot:
        """Read all that the log holds at a moment after this call. Raises `LogStuck`.

        What is in transactions under way is awaited: their commit may be visible elsewhere already.
        """
        async for batch in self._scan.until(await self._scan.log_end()):
            self._findings += batch.findings()
            await asyncio.to_thread(self._apply, batch.records)
        return {one.source: (one.state, one.version, one.epoch) for one in self.view}

    def findings(self) -> Iterator[Finding]:
        """Records that cannot be read."""
        yield from self._findings
        for source, (offset, why) in sorted(self.damaged.items()):
            where = Where(*self._partition, offset, source)
            yield found(FindingKind.LIFECYCLE_UNREADABLE, where, why)

    def _apply(self, records: Sequence[KafkaRecord]) -> None:
        for record in records:
            name = own_key(record.key)
            if name is None or not names_source(record.key):
                continue
            try:
                if record.value is None:
                    raise codec.Undecodable("undecodable", "a source is never deleted")
                self.view.apply(record.key, record.value, record.offset)
            except codec.Undecodable as error:
                self.damaged[name] = (record.offset, f"the record cannot be read: {error}")
            else:
                self.damaged.pop(name, None)
                self.offsets[name] = record.offset


async def read_events(
    environment: Environment, topic: str, name: str
) -> tuple[list[LifecycleEvent], list[Finding], int | None]:
    """All records of `lifecycle.expired` or `.restored`, decoded as `name`; the findings; and the
    time of the first one if earlier ones were deleted. Raises `LogStuck`.
    """
    partition = (topic, 0)
    start, _ = (await environment.kafka.admin.bounds([partition]))[partition]
    events: list[LifecycleEvent] = []
    findings: list[Finding] = []
    since: int | None = None
    async with LogScan(environment, partition, start) as scan:
        async for batch in scan.until(await scan.log_end()):
            findings += batch.findings()
            for record in batch.records:
                if start and since is None:
                    since = record.timestamp
                try:
                    event = codec.decode(record.value or b"", name)
                except codec.Undecodable as error:
                    where = Where(topic, 0, record.offset)
                    what = f"the event cannot be read: {error}"
                    findings.append(found(FindingKind.EVENT_UNREADABLE, where, what))
                else:
                    events.append(LifecycleEvent(topic, record.offset, event))
    return events, findings, since


async def read_coordinator(
    environment: Environment,
) -> tuple[dict[str, tuple[int, Source]], list[Finding]]:
    """The coordinator's sources with their offsets, and the findings. Raises `LogStuck`."""
    partition = (Topics(environment.settings.prefix).coordinator, 0)
    start, _ = (await environment.kafka.admin.bounds([partition]))[partition]
    kept: dict[str, tuple[int, Source]] = {}
    damaged: dict[str, tuple[int, str]] = {}
    findings: list[Finding] = []
    async with LogScan(environment, partition, start) as scan:
        async for batch in scan.until(await scan.log_end()):
            findings += batch.findings()
            stored_format.check(*partition, batch.records)
            for record in batch.records:
                key = own_key(record.key)
                if key is None or not ledger.known(key) or ledger.foreign(key):
                    continue
                try:
                    value = None if record.value is None else ledger.parsed(key, record.value)
                except ledger.Unreadable as error:
                    damaged[key] = (record.offset, error.message)
                    continue
                damaged.pop(key, None)
                if isinstance(value, Source):
                    kept[value.source] = (record.offset, value)
    for key, (offset, why) in sorted(damaged.items()):
        where = Where(*partition, offset, key=key)
        findings.append(found(FindingKind.COORDINATOR_UNREADABLE, where, why))
    return kept, findings
