"""The transactional writer of the simulated log."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from aiokafka import errors as kafka_errors

from schemas.errors import Recoverable
from streams.clock import Clock
from streams.kafka.log import Fenced, Partition, Record, RecordGroup, StepFailed
from tests.sim.log.batches import Entry, Written, size_of
from tests.sim.log.cluster import Cluster, Takeover
from tests.sim.log.network import Request
from tests.sim.loop import WORKER

__all__ = ["SimWriter", "batched"]

T = TypeVar("T")

MOST_BYTES = 990_000
#: How long one request may take.
REQUEST_S = 4.0
#: The pause before a request is repeated.
RETRY_S = 0.1
#: The same, while the former transaction's markers are on their way.
MARKERS_S = 0.02
#: It grows up to this one, so that late markers cost few requests.
MOST_MARKERS_S = 0.32

_NO_ANSWER = (kafka_errors.RequestTimedOutError, kafka_errors.KafkaConnectionError)
_FENCED = (kafka_errors.ProducerFenced, kafka_errors.InvalidProducerEpoch)


#: Records for one partition, and the numbers that they have in the step.
Batch = tuple[Partition, list[Entry], list[int]]


@dataclass(slots=True)
class _Step:
    """Numbers of one step: where its batches lie."""

    offsets: list[int]
    stamps: list[int]


class SimWriter:
    """See `log.LogWriter`."""

    def __init__(
        self, cluster: Cluster, transactional_id: str, timeout_s: float, clock: Clock
    ) -> None:
        self.transactional_id = transactional_id
        self.appended_ms: int | None = None
        self.producer_id: int | None = None
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._clock = clock
        self._epoch = -1
        self._sequences: dict[Partition, int] = {}
        self._lock = asyncio.Lock()
        self._spent = True
        #: A commit was asked for again: it may arrive twice, the second time in the next step.
        self._asked_again = False

    async def start(self) -> None:
        """Fences former writers."""
        generation = self._cluster.on_takeover(self.transactional_id)
        init = self._cluster.transactions.init
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                self.producer_id, self._epoch = await self._transact(
                    lambda: init(self.transactional_id, self._timeout_s)
                )
        except (kafka_errors.KafkaError, TimeoutError) as error:
            raise self._failure(error) from error
        self._spent = False
        at_s, worker = self._clock.monotonic_s(), WORKER.get() or ""
        taken = Takeover(at_s, self.transactional_id, worker, generation)
        self._cluster.takeovers.append(taken)

    async def close(self) -> None:
        """Nothing is connected."""
        self._spent = True
        self.producer_id = None

    async def commit(
        self,
        records: Sequence[Record],
        *,
        groups: Sequence[RecordGroup] = (),
        first: Sequence[Record] = (),
        then: Callable[[list[int]], Sequence[Record]] | None = None,
        ending: Callable[[], None] | None = None,
    ) -> list[int]:
        """As the protocol says."""
        async with self._lock:
            if self._spent:
                raise StepFailed(f"{self.transactional_id}: the writer is spent")
            self._spent = True  # until the commit is known to have happened
            try:
                async with asyncio.timeout(self._timeout_s):
                    sent = await self._send(first)
                    chained = [*records, *(then(sent.offsets) if then is not None else ())]
                    wrote = await self._send(chained, groups)
                    if first or chained or groups:
                        if ending is not None:
                            ending()
                        await self._end()
            except (kafka_errors.KafkaError, TimeoutError) as error:
                raise self._failure(error) from error
            self._spent = self._asked_again
            self.appended_ms = min(wrote.stamps, default=None)
            return wrote.offsets

    async def _send(self, records: Sequence[Record], groups: Sequence[RecordGroup] = ()) -> _Step:
        """Sends records and groups; the offsets are those of `records`."""
        step = _Step([-1] * len(records), [])
        batches = [*batched(records, self._clock.now_ms()), *_of_groups(groups)]
        if not batches:
            return step
        name, producer, epoch = self.transactional_id, self.producer_id or 0, self._epoch
        partitions = dict.fromkeys(partition for partition, _, _ in batches)
        transactions = self._cluster.transactions
        await self._transact(lambda: transactions.add(name, producer, epoch, partitions))
        by_leader: dict[int | None, list[Batch]] = {}
        for batch in batches:
            by_leader.setdefault(self._cluster.leader(batch[0]), []).append(batch)
        for some in by_leader.values():
            await self._produce(some, step)
        return step

    async def _produce(self, batches: Sequence[Batch], step: _Step) -> None:
        """Batches of one leader, as one request; each is there or not by itself."""
        cluster, name = self._cluster, self.transactional_id
        written: list[tuple[Written, Batch]] = []
        for batch in batches:
            partition, entries, _ = batch
            sequence = self._sequences.get(partition, 0)
            self._sequences[partition] = sequence + len(entries)
            written.append((Written(self.producer_id or 0, self._epoch, sequence, True), batch))

        def append() -> list[tuple[int, int | None]]:
            return [cluster.produce(at, entries, by, name=name) for by, (at, entries, _) in written]

        places = await self._repeated(
            Request.PRODUCE, append, lambda: cluster.leader(batches[0][0])
        )
        for (base, stamp), (_, (_, _, numbers)) in zip(places, written, strict=True):
            for delta, number in enumerate(numbers):
                step.offsets[number] = base + delta
            if stamp is not None:
                step.stamps.append(stamp)

    async def _end(self) -> None:
        name, producer, epoch = self.transactional_id, self.producer_id or 0, self._epoch
        end = partial(self._cluster.transactions.end, name, producer, epoch, commit=True)
        faults = self._cluster.faults
        if faults.strikes("unknown_commit"):
            if faults.random.random() < 0.7:  # it arrives
                self._cluster.network.later(
                    faults.within(faults.rates.unknown_commit_s), partial(_at_last, end)
                )
            raise kafka_errors.RequestTimedOutError("the answer to the commit is lost")
        await self._transact(end, self._doubt)

    def _doubt(self) -> None:
        self._asked_again = True

    async def _transact(
        self, work: Callable[[], T], unanswered: Callable[[], None] | None = None
    ) -> T:
        name = self.transactional_id
        return await self._repeated(
            Request.TRANSACTION, work, lambda: self._cluster.coordinator_of(name), unanswered
        )

    async def _repeated(
        self,
        kind: Request,
        work: Callable[[], T],
        node: Callable[[], int | None],
        unanswered: Callable[[], None] | None = None,
    ) -> T:
        """Asks until there is an answer that does not pass; the caller limits the time.

        `unanswered` is called if the brokers may carry a request out that has no answer.
        """
        pause_s = MARKERS_S
        while True:
            try:
                return await self._cluster.network.ask(kind, work, REQUEST_S, node())
            except kafka_errors.ConcurrentTransactions:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MOST_MARKERS_S)
            except kafka_errors.KafkaError as error:
                if not error.retriable:
                    raise
                if unanswered is not None and isinstance(error, _NO_ANSWER):
                    unanswered()
                await asyncio.sleep(RETRY_S)

    def _failure(self, error: BaseException) -> Recoverable:
        kind = Fenced if isinstance(error, _FENCED) else StepFailed
        detail = f"{type(error).__name__} {error}".strip()
        return kind(f"{self.transactional_id}: the step was not committed ({detail})")


def _at_last(end: Callable[[], None]) -> None:
    """A commit arrives when its writer has given up."""
    with suppress(kafka_errors.KafkaError):
        end()


def batched(records: Sequence[Record], now_ms: int) -> list[Batch]:
    """Records as batches for each partition, with the numbers that the records have in the step;
    `now_ms` stamps those without a time.

    Raises `MessageSizeTooLargeError`.
    """
    found: list[Batch] = []
    open_batches: dict[Partition, tuple[Batch, int]] = {}
    for number, record in enumerate(records):
        partition = record.topic, record.partition
        stamp = now_ms if record.timestamp_ms is None else record.timestamp_ms
        entry = Entry(record.key, record.value, stamp, record.headers)
        size = size_of(entry)
        if size > MOST_BYTES:
            raise kafka_errors.MessageSizeTooLargeError(f"{partition}: {size} bytes")
        batch, filled = open_batches.get(partition, (None, 0))
        if batch is None or filled + size > MOST_BYTES:
            batch, filled = (partition, [], []), 0
            found.append(batch)
        batch[1].append(entry)
        batch[2].append(number)
        open_batches[partition] = batch, filled + size
    return found


def _of_groups(groups: Sequence[RecordGroup]) -> Iterator[Batch]:
    for group in groups:
        partition = group.topic, group.partition
        entries: list[Entry] = []
        size = 0
        for number, (key, value, timestamp) in enumerate(group.records):
            own = group.own_headers[number] if group.own_headers else ()
            entry = Entry(key, value, timestamp, (*group.headers, *own))
            more = size_of(entry)
            if more > MOST_BYTES:
                raise kafka_errors.MessageSizeTooLargeError(f"{partition}: {more} bytes")
            if size + more > MOST_BYTES:
                yield partition, entries, []
                entries, size = [], 0
            entries.append(entry)
            size += more
        if entries:
            yield partition, entries, []
