"""Reading partitions without a consumer group: whole record batches from a position that we hold.

A `Fetcher` belongs to one reader (a shard, the coordinator, a state view). It never joins a
group and never commits: where to read is the reader's own cursor, so nothing a group does can
make it lose or repeat a record. It reads committed records only; aborted transactions and
control batches are left out here.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from schemas.batch import RawBatch
from schemas.errors import Fatal, Recoverable
from streams.aborted import committed
from streams.settings import Settings

__all__ = ["Fetcher", "LostRange", "Partition"]

log = logging.getLogger(__name__)

Partition = tuple[str, int]
_Answer = tuple[list[RawBatch], dict[Partition, int]]

READ_COMMITTED = 1
IDLE_WAIT_MS = 500
LINGER_BYTES = 1_000_000
RETRY_S = 0.1
#: The first answer is small and the next ones twice as large each, so that work on the first
#: begins while the others are under way.
FIRST_BYTES = 1_000_000
TROUBLE_EVERY_S = 5.0
#: So often a broker is asked who leads a partition that has no leader.
LEADERS_EVERY_S = 0.5
#: Responses larger than this are unpacked in a thread, so that the event loop stays free.
UNPACK_IN_THREAD = 64_000


class LostRange(Fatal):
    """The log of an input does not hold the offset that has to be read next.

    `log` has the log's bounds, half-open, where they are known.
    """

    def __init__(
        self, partition: Partition, position: int, *, log: tuple[int, int] | None = None
    ) -> None:
        topic, number = partition
        self.partition = partition
        self.position = position
        self.log = log
        where = f"{topic}[{number}]"
        if log is not None and position > log[1]:
            super().__init__(
                f"{where}: offset {position} is to be read next and the log ends at {log[1]}: the "
                "topic was made anew",
                remedy="Restore the topic from a backup; or stop the workers and have the new log "
                "read from its beginning with `emberline topics skip`",
            )
            return
        reach = f" to {log[0] - 1}" if log is not None else ""
        super().__init__(
            f"{where}: offsets {position}{reach} are to be read next and are no longer in the log",
            remedy="Restore the topic from a backup; or stop the workers, accept the loss with "
            "`emberline topics skip`, and raise the topic's retention",
        )


class Fetcher:
    """Fetches whole record batches of `(topic, partition)` pairs, from a cursor.

    `cursor` maps each partition to the next offset to read, `ends` to where its log ends, as far
    as that is known already. `bytes_per_fetch` bounds one response (compressed bytes); one more
    response may be under way while a caller works on the last (`prefetch`). With `linger_ms` the
    broker gathers that long, or 1 MB, before it answers, unless nothing came lately: many small
    answers cost more than a few. `fetch` is cancellable at any time; a cancelled call loses
    nothing, as positions move only when batches are handed over.
    """

    def __init__(
        self,
        settings: Settings,
        cursor: Mapping[Partition, int],
        *,
        ends: Mapping[Partition, int] | None = None,
        bytes_per_fetch: int = 8_000_000,
        bytes_per_partition: int = 3_000_000,
        prefetch: bool = False,
        linger_ms: int = 0,
        name: str = "fetcher",
    ) -> None:
        self._settings = settings
        self._positions = dict(cursor)
        self._ends: dict[Partition, int] = dict(ends or {})
        #: What no broker answers for, as of the last question, and what of it has no leader.
        self._unanswered = self._positions.keys() - self._ends.keys()
        self._leaderless: set[Partition] = set()
        self._leaders_asked = 0.0
        self._bytes = bytes_per_fetch
        self._reach = min(FIRST_BYTES, bytes_per_fetch)
        self._partition_bytes = min(bytes_per_partition, bytes_per_fetch)
        self._prefetch = prefetch
        self._linger_ms = linger_ms
        self._busy = False
        self._name = name
        self._client: AIOKafkaClient | None = None
        self._pending: asyncio.Task[_Answer] | None = None
        self._epoch = 0
        self._trouble_said = 0.0

    async def start(self) -> None:
        """Connects; raises `Recoverable` when no broker answers."""
        client = AIOKafkaClient(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id=f"{self._settings.client_id}-{self._name}",
            request_timeout_ms=20_000,
        )
        try:
            await client.bootstrap()
            await client.set_topics({topic for topic, _ in self._positions})
            # A fetch that is cancelled while it connects would leave its socket behind.
            for node, _ in self._by_leader(client):
                await client.ready(node)
        except kafka_errors.KafkaError as error:
            await client.close()
            raise Recoverable(
                f"the broker at {self._settings.bootstrap_servers} does not answer: "
                f"{type(error).__name__}"
            ) from error
        except BaseException:
            await client.close()
            raise
        self._client = client

    async def close(self) -> None:
        """Ends the fetch under way and closes the connections."""
        await self._drop_pending()
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def position(self, partition: Partition) -> int:
        """The next offset that `fetch` will hand over."""
        return self._positions[partition]

    def positions(self) -> dict[Partition, int]:
        """All positions, as a copy."""
        return dict(self._positions)

    def lag(self, cursor: Mapping[Partition, int]) -> dict[Partition, int]:
        """Offsets between each of `cursor` and its log's end, as of the last answer.

        At least 1 where no broker answers for the partition: nobody knows what has come to it.
        """
        return {
            partition: max(
                int(partition in self._unanswered), self._ends.get(partition, 0) - offset
            )
            for partition, offset in cursor.items()
        }

    def seek(self, partition: Partition, offset: int) -> None:
        """Moves a position; a response already under way is thrown away."""
        self._positions[partition] = offset
        self._epoch += 1

    async def fetch(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[RawBatch]:
        """The next batches, in offset order in each partition; empty after `max_wait_ms`.

        Broker trouble is waited out: it is logged every few seconds and the answer is empty.
        Raises `LostRange` when a log no longer holds the position.
        """
        if self._pending is None:
            self._pending = asyncio.create_task(self._request(max_wait_ms))
        pending = self._pending
        epoch = self._epoch
        try:
            batches, following = await asyncio.shield(pending)
        finally:
            if pending.done() and self._pending is pending:
                self._pending = None
        if epoch != self._epoch:
            return []
        self._positions.update(following)
        self._busy = bool(batches)
        if batches:
            self._reach = min(2 * self._reach, self._bytes)
        if self._prefetch and batches:
            self._pending = asyncio.create_task(self._request(max_wait_ms))
        return batches

    async def _drop_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)

    async def _request(self, max_wait_ms: int) -> _Answer:
        if self._client is None:
            raise RuntimeError("Fetcher.fetch before Fetcher.start")
        by_leader = self._by_leader(self._client)
        self._seek_leaders(self._client, by_leader)
        if not by_leader:
            await asyncio.sleep(RETRY_S)
            return [], {}
        answers = await asyncio.gather(
            *(self._ask(self._client, node, wanted, max_wait_ms) for node, wanted in by_leader)
        )
        batches = [batch for answer, _ in answers for batch in answer]
        following = {key: offset for _, moved in answers for key, offset in moved.items()}
        return batches, following

    def _by_leader(self, client: AIOKafkaClient) -> list[tuple[int, list[Partition]]]:
        nodes: dict[int, list[Partition]] = {}
        for partition in self._positions:
            leader = client.cluster.leader_for_partition(TopicPartition(*partition))
            if leader is not None and leader >= 0:
                nodes.setdefault(leader, []).append(partition)
        return list(nodes.items())

    def _seek_leaders(
        self, client: AIOKafkaClient, by_leader: list[tuple[int, list[Partition]]]
    ) -> None:
        """Partitions without a leader are told once, and sought until all have one again.

        The client alone would ask minutes later, and the others are fetched meanwhile.
        """
        leaderless = self._positions.keys() - {one for _, some in by_leader for one in some}
        # whole texts: the worker's log drops what repeats a format string
        if gone := leaderless - self._leaderless:
            log.warning(f"{self._name}: no broker leads {_named(gone)}: not read until one does")
        if back := self._leaderless - leaderless:
            log.warning(f"{self._name}: {_named(back)} has a leader again and is read on")
        self._leaderless = leaderless
        self._unanswered |= leaderless
        now = time.monotonic()
        if leaderless and now - self._leaders_asked > LEADERS_EVERY_S:
            self._leaders_asked = now
            client.force_metadata_update()

    async def _ask(
        self, client: AIOKafkaClient, node: int, wanted: list[Partition], max_wait_ms: int
    ) -> _Answer:
        random.shuffle(wanted)  # the broker fills a response in this order: none may starve
        topics: dict[str, list[tuple[int, int, int]]] = {}
        most = min(self._partition_bytes, self._reach)
        for topic, number in wanted:
            topics.setdefault(topic, []).append((number, self._positions[topic, number], most))
        wait, least = (max_wait_ms, 1)
        if self._busy and self._linger_ms:
            wait, least = min(max_wait_ms, self._linger_ms), LINGER_BYTES
        request = FetchRequest(wait, least, self._reach, READ_COMMITTED, list(topics.items()))
        try:
            response = await client.send(node, request)
        except kafka_errors.KafkaError as error:
            self._unanswered.update(wanted)
            await self._trouble(f"{type(error).__name__} {error}".strip())
            return [], {}
        parts = [
            ((topic, number), code, high, rest)
            for topic, partitions in response.topics
            for number, code, high, *rest in partitions
        ]
        size = sum(len(rest[-1] or b"") for _, _, _, rest in parts)
        batches: list[RawBatch] = []
        following: dict[Partition, int] = {}
        for partition, code, high, rest in parts:
            if code:
                self._unanswered.add(partition)
                await self._refused(partition, code)
                continue
            self._unanswered.discard(partition)
            self._ends[partition] = rest[0] if rest[0] >= 0 else high
            aborted = rest[2] if response.API_VERSION >= 11 else rest[-2]
            arguments = (rest[-1] or b"", partition, self._positions[partition], aborted or ())
            got, following[partition] = (
                await asyncio.to_thread(committed, *arguments)
                if size > UNPACK_IN_THREAD
                else committed(*arguments)
            )
            batches += got
        return batches, following

    async def _refused(self, partition: Partition, code: int) -> None:
        error = kafka_errors.for_code(code)
        if error is kafka_errors.OffsetOutOfRangeError:
            raise LostRange(partition, self._positions[partition])
        await self._trouble(f"{partition[0]}[{partition[1]}]: {error.__name__}")

    async def _trouble(self, what: str) -> None:
        now = time.monotonic()
        if now - self._trouble_said > TROUBLE_EVERY_S:
            self._trouble_said = now
            log.warning(
                "%s: waiting for the broker at %s: %s",
                self._name,
                self._settings.bootstrap_servers,
                what,
            )
        if self._client is not None:
            self._client.force_metadata_update()
        await asyncio.sleep(RETRY_S)


def _named(partitions: Iterable[Partition]) -> str:
    return ", ".join(f"{topic}[{number}]" for topic, number in sorted(partitions))
