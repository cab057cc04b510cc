"""Reads one partition from its beginning, batch by batch, in bounded memory.

Every batch is compared with its checksum. A batch that cannot be read is handed over with the
reason, and reading continues behind it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from schemas.decode.batch import SealedBatch
from schemas.decode.batch_records import CorruptRecords, KafkaRecord, unpack
from schemas.errors import Recoverable
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import in_transaction
from streams.kafka.log import LostRange, Partition, ReaderOptions
from streams.period import seconds

__all__ = ["LogScan", "LogStuck", "ScannedBatch"]

_FETCH_BYTES = 8_000_000
#: Nothing comes for this time from a broker that runs: the log cannot be read on.
_SILENCE_S = 30.0
_LOOK_MS = 1


class LogStuck(Recoverable):
    """A partition cannot be read beyond `offset`."""

    def __init__(self, partition: Partition, offset: int, end: int) -> None:
        super().__init__(
            f"{partition[0]}[{partition[1]}]: nothing can be read from offset {offset} on, and the "
            f"log ends at {end}"
        )
        self.partition = partition
        self.offset = offset

    def finding(self) -> Finding:
        """As a finding."""
        where = Where(*self.partition, self.offset)
        return found(FindingKind.LOG_UNREADABLE, where, self.message)


@dataclass(frozen=True, slots=True)
class ScannedBatch:
    """Committed records of one batch, in order. `fault` says why the batch cannot be read.

    `transactional` is None where that is not known.
    """

    partition: Partition
    first: int
    last: int
    records: Sequence[KafkaRecord]
    transactional: bool | None
    fault: str | None = None

    def findings(self) -> Iterable[Finding]:
        """A batch that cannot be read."""
        if self.fault is not None:
            what = f"offsets {self.first} to {self.last} cannot be read: {self.fault}"
            yield found(FindingKind.BATCH_BROKEN, Where(*self.partition, self.first), what)


class LogScan:
    """One partition. Use it as an asynchronous context; `until` may be called repeatedly."""

    def __init__(
        self,
        environment: Environment,
        partition: Partition,
        start: int,
        *,
        silence_s: float | None = None,
    ) -> None:
        self.partition = partition
        self.start = start
        self._limit = environment.settings.max_batch_bytes
        self._now = environment.clock.monotonic_s
        # a worker that has died may have left a transaction open: the broker ends it in time
        patient_s = _SILENCE_S + seconds(environment.settings.transaction_timeout)
        self._silence_s = patient_s if silence_s is None else silence_s
        options = ReaderOptions(
            bytes_per_fetch=_FETCH_BYTES,
            bytes_per_partition=_FETCH_BYTES,
            check_crc=False,
            name=f"verify-{partition[0]}-{partition[1]}",
        )
        self._reader = environment.kafka.reader({partition: start}, options)

    @property
    def position(self) -> int:
        """The next offset to be read."""
        return self._reader.position(self.partition)

    async def log_end(self) -> int:
        """The high watermark at a moment after this call: records of open transactions count.

        Raises `LogStuck` if no broker answers.
        """
        asked, before = self._now(), self.position
        while True:
            await self._reader.fetch_sealed(_LOOK_MS)
            self._reader.seek(self.partition, before)
            if self._reader.silent_s() <= self._now() - asked:
                return self._reader.lag({self.partition: 0})[self.partition]
            if self._now() > asked + self._silence_s:
                raise LogStuck(self.partition, before, before)

    async def __aenter__(self) -> Self:
        try:
            await self._reader.start()
        except BaseException:
            await self._reader.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._reader.close()

    async def until(self, end: int) -> AsyncIterator[ScannedBatch]:
        """The batches below `end`, where a batch ends. The next call continues there.

        Waits for open transactions that begin below `end`. Raises `LogStuck` if nothing comes.
        """
        heard = self._now()
        while (before := self.position) < end:
            try:
                sealed = await self._reader.fetch_sealed()
            except LostRange as error:
                if error.made_anew or error.log is None or error.log[0] <= before:
                    raise
                self._reader.seek(self.partition, error.log[0])  # deleted while it was read
                continue
            if self.position == before:
                if self._now() > heard + self._silence_s:
                    raise LogStuck(self.partition, before, end)
                continue
            heard = self._now()
            below = [batch for batch in sealed if batch.base_offset < end]
            for batch in below:
                yield await asyncio.to_thread(self._opened, batch, before)
        if self.position > end:
            self._reader.seek(self.partition, end)

    def _opened(self, sealed: SealedBatch, start: int) -> ScannedBatch:
        records: list[KafkaRecord] = []
        fault: str | None = None
        transactional: bool | None = None
        if not sealed.intact():
            fault = "its checksum does not match"
        else:
            opened = sealed.opened(self._limit)
            transactional = in_transaction(opened)
            try:
                records = [one for one in unpack(opened) if one.offset >= start]
            except CorruptRecords as error:
                fault = error.detail
        return ScannedBatch(
            self.partition,
            max(start, sealed.base_offset),
            sealed.last_offset,
            records,
            transactional,
            fault,
        )
