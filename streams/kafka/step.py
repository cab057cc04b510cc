"""The writer of steps: one bounded Kafka transaction, committed whole or not at all.

Crash-only: after any error, or if the outcome of a commit is unknown, the producer must not be used
again. Its owner drops it, starts a new one (which fences the old one and makes the broker abort its
open transaction) and recovers from the committed records.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors

from schemas.errors import Recoverable
from streams.ending import to_the_end, within
from streams.kafka import bootstrap, clients
from streams.kafka.log import Fenced, Record, RecordGroup, StepFailed
from streams.kafka.refusal import unreachable
from streams.period import seconds
from streams.settings import Settings

__all__ = ["StepProducer"]

log = logging.getLogger(__name__)

MAX_BATCH_BYTES = 990_000
CLOSE_S = 5.0
_LOG_APPEND_TIME = 1

_FENCED = (kafka_errors.ProducerFenced, kafka_errors.InvalidProducerEpoch)


class StepProducer:
    """One transactional producer, one transaction at a time."""

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self._settings = settings
        self.transactional_id = transactional_id
        self._timeout_s = seconds(settings.transaction_timeout)
        #: The broker's time of the last step, UTC ms; None where it does not tell.
        self.appended_ms: int | None = None
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._spent = False

    async def start(self) -> None:
        """Fences the former owner of the transactional id.

        Raises `StepFailed` if the broker does not answer in time.
        """
        producer = clients.producer(
            self._settings,
            f"{self._settings.client_id}-{self.transactional_id}",
            # a batch may take as long as its step; who hangs is found out earlier, and asked anew
            min(bootstrap.WRITE_S, self._timeout_s / 2),
            transactional_id=self.transactional_id,
            transaction_timeout_ms=int(self._timeout_s * 1000),
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_BATCH_BYTES,
            request_timeout_ms=int(self._timeout_s * 1000),
            linger_ms=0,
            acks="all",
        )
        self._producer = producer
        try:
            async with asyncio.timeout(self._timeout_s * 2):
                await producer.start()
                # start() returns before the id is initialised: begin() waits for it.
                await producer.begin_transaction()
                await producer.abort_transaction()
        except (kafka_errors.KafkaError, TimeoutError) as error:
            self._spent = True
            await self.close()
            raise _failure(self.transactional_id, error) from error

    @property
    def producer_id(self) -> int | None:
        """The producer id of its batches; None while it is not started."""
        manager = None if self._producer is None else self._producer._txn_manager
        return None if manager is None else int(manager.producer_id)

    async def commit(
        self,
        records: Sequence[Record],
        *,
        groups: Sequence[RecordGroup] = (),
        first: Sequence[Record] = (),
        then: Callable[[list[int]], Sequence[Record]] | None = None,
        ending: Callable[[], None] | None = None,
    ) -> list[int]:
        """Commits one step; returns the offsets of `records` followed by those of `then`.

        `first` is sent before all others, and its offsets are passed to `then`, whose records join
        the same transaction: so an archive record and the manifest entry that names its offset are
        committed together. `ending` is called after everything is sent, just before the commit
        request: if the commit succeeds, no other owner had fenced this producer before that call.
        Raises `Fenced` or `StepFailed`; after either, the producer must not be used again. Nor
        after a step whose commit had to be asked for twice: the next one raises `StepFailed`.
        """
        async with self._lock:
            producer = self._producer
            if producer is None or self._spent:
                raise StepFailed(f"{self.transactional_id}: the producer is spent")
            self._spent = True  # until the commit is known to have happened
            sent: list[asyncio.Future[Any]] = []
            try:
                async with asyncio.timeout(self._timeout_s):
                    await producer.begin_transaction()
                    for record in first:
                        sent.append(await self._enqueue(producer, record))
                    written = [_offset(result) for result in await asyncio.gather(*sent)]
                    chained = list(records) + list(then(written) if then is not None else ())
                    for record in chained:
                        sent.append(await self._enqueue(producer, record))
                    for group in groups:
                        await _enqueue_group(producer, group, sent)
                    # aiokafka commits a transaction although a batch of it failed: a failed
                    # send must be seen here, before the commit.
                    results = (await asyncio.gather(*sent))[len(first) :]
                    offsets = [_offset(result) for result in results]
                    # without a record there is nothing that the broker would be asked
                    if sent and ending is not None:
                        ending()
                    await producer.commit_transaction()
            except kafka_errors.IllegalOperation as error:
                # The transaction ended between two sends; what was sent before knows why.
                raise _failure(self.transactional_id, await _cause(sent) or error) from error
            except (kafka_errors.KafkaError, TimeoutError, _NoOffset) as error:
                raise _failure(self.transactional_id, error) from error
            finally:
                for future in sent:
                    future.add_done_callback(_hear)
            # A commit that is asked for again may arrive twice: the second one, held up on its way,
            # would end the next transaction of this epoch in the middle of its step.
            self._spent = bool(producer.client.ends_unanswered)
            self.appended_ms = min(filter(None, map(_appended_ms, results)), default=None)
            return offsets[: len(chained)]

    async def close(self) -> None:
        """Closes the connections; the broker aborts an uncommitted transaction later."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        spent, self._spent = self._spent, True
        # a cancellation while it closes is not this one's to take: it is raised afterwards
        await to_the_end(_closed(producer, spent))

    async def _enqueue(self, producer: AIOKafkaProducer, record: Record) -> Any:
        return await producer.send(
            record.topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp_ms,
            headers=list(record.headers),
        )


async def _closed(producer: AIOKafkaProducer, spent: bool) -> None:
    sender = producer._sender
    if spent and sender.sender_task is not None:
        sender.sender_task.cancel()  # stop() would first deliver what a failed step left
    for let_go in (producer.stop, producer.client.close):
        try:
            await within(CLOSE_S, let_go())
        except kafka_errors.KafkaError as error:
            log.debug("while a producer closed: %r", error)
        producer._closed = True
    _hear_out(producer)


def _hear_out(producer: AIOKafkaProducer) -> None:
    """Retrieves the errors of futures that the library still holds and that no task awaits. The
    step's own error has been reported; otherwise asyncio would log each of these errors too.
    """
    accumulator, manager = producer._message_accumulator, producer._txn_manager
    queued = [batch for batches in accumulator._batches.values() for batch in batches]
    kept = [
        future
        for batch in (*queued, *accumulator._pending_batches)
        for future in (batch.future, batch._drain_waiter)
    ]
    if manager is not None:
        kept += filter(None, [manager._transaction_waiter, manager._pid_waiter])
    for future in kept:
        if future.done():
            _hear(future)


def _hear(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


class _NoOffset(Exception):
    """The broker acknowledged a send without an offset: a duplicate whose offset is unknown."""


def _offset(result: Any) -> int:
    offset = int(result.offset)
    if offset < 0:
        raise _NoOffset
    return offset


def _appended_ms(result: Any) -> int | None:
    return int(result.timestamp) if result.timestamp_type == _LOG_APPEND_TIME else None


async def _cause(sent: Sequence[asyncio.Future[Any]]) -> BaseException | None:
    """The error of what was sent, as far as it comes soon."""
    if not sent:
        return None
    when = asyncio.FIRST_EXCEPTION
    done, _ = await asyncio.wait(sent, timeout=CLOSE_S, return_when=when)
    errors = (future.exception() for future in done if not future.cancelled())
    return next((error for error in errors if error is not None), None)


async def _enqueue_group(
    producer: AIOKafkaProducer, group: RecordGroup, sent: list[asyncio.Future[Any]]
) -> None:
    batch = producer.create_batch()
    for number, (key, value, timestamp) in enumerate(group.records):
        own = group.own_headers[number] if group.own_headers else ()
        headers = [*group.headers, *own]
        fields = {"key": key, "value": value, "timestamp": timestamp, "headers": headers}
        if batch.append(**fields) is None:
            sent.append(await producer.send_batch(batch, group.topic, partition=group.partition))
            batch = producer.create_batch()
            if batch.append(**fields) is None:
                raise kafka_errors.MessageSizeTooLargeError(
                    f"{group.topic}[{group.partition}]: a forwarded record does not fit a batch"
                )
    if batch.record_count():
        sent.append(await producer.send_batch(batch, group.topic, partition=group.partition))


def _failure(transactional_id: str, error: BaseException) -> Recoverable:
    kind = Fenced if isinstance(error, _FENCED) else StepFailed
    detail = f"{type(error).__name__} {error}".strip()
    why = unreachable(error, Recoverable(""))
    return kind(f"{transactional_id}: the step was not committed ({detail})", remedy=why.remedy)
