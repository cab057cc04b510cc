"""Reads partitions without a consumer group: whole record batches, from a position that the reader
holds.

A `Fetcher` belongs to one reader (a shard, the coordinator, a state view). It never joins a group
and never commits: the reader's own cursor says where to read, so no event in a group can make the
reader lose or repeat a record. It returns committed records only, without aborted transactions and
control batches.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from schemas.decode.batch import CorruptBatch, RecordBatch, SealedBatch
from schemas.errors import Recoverable
from streams.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock
from streams.ending import end_all
from streams.kafka import bootstrap
from streams.kafka.aborted import committed
from streams.kafka.fetch_by_id import FetchById, named, usable
from streams.kafka.fetch_protocol import FetchProtocol, FetchQuestion, PartitionAnswer
from streams.kafka.log import (
    DEFAULT_OPTIONS,
    IDLE_WAIT_MS,
    SILENCE_S,
    LostRange,
    Partition,
    ReaderOptions,
)
from streams.kafka.opening import open_batches
from streams.kafka.refusal import lacks, unreachable
from streams.kafka.topic_layout import ids_told
from streams.settings import Settings

__all__ = ["Fetcher"]

log = logging.getLogger(__name__)

READ_COMMITTED = 1
_NO_RIGHT = kafka_errors.TopicAuthorizationFailedError
RETRY_S = 0.1
#: So long a broker may take to answer after the wait that it was asked for.
ANSWER_S = 0.25
#: After one broker has answered, answers of others within this time are returned with it.
TOGETHER_S = 0.02
TROUBLE_EVERY_S = 5.0
#: The interval of requests for the leader of a partition without one.
LEADERS_EVERY_S = 0.5
#: A topic has been created again where brokers say so for so long: one may be behind the others.
ANEW_AFTER_S = 2.0
#: Responses larger than this are unpacked in a thread, so that the event loop stays free.
UNPACK_IN_THREAD = 64_000


class Fetcher:
    """Fetches whole record batches of `(topic, partition)` pairs, from a cursor.

    `cursor` maps each partition to the next offset to read; for the options see `ReaderOptions`.
    Every broker gets separate requests, so a silent broker delays only its own partitions.
    `bytes_per_fetch` limits the answers of one round, except for the last batch: `fetch` counts
    decompressed bytes, and learns from each answer how much to request; `fetch_sealed` counts bytes
    as in the log. With `prefetch` one more round may be in flight while the caller works on the
    last one. With `linger_ms` the broker collects records for that time, or up to 1 MB, before it
    answers, unless no records came recently: a few large answers cost less than many small ones.
    `fetch` may be cancelled at any time; a cancelled call loses nothing, because positions move
    only when batches are handed over.
    """

    def __init__(
        self,
        settings: Settings,
        cursor: Mapping[Partition, int],
        options: ReaderOptions = DEFAULT_OPTIONS,
        *,
        clock: Clock = SYSTEM_CLOCK,
        random: Random = SYSTEM_RANDOM,
    ) -> None:
        self._settings = settings
        self._now = clock.monotonic_s
        self._random = random
        self._protocol = FetchProtocol(
            cursor,
            ends=options.ends,
            bytes_per_fetch=options.bytes_per_fetch,
            bytes_per_partition=options.bytes_per_partition,
            linger_ms=options.linger_ms,
        )
        self._ids = usable(options.ids or {})
        #: Since when brokers have known another topic of a name.
        self._other_since: dict[str, float] = {}
        self._leaders_asked = 0.0
        self._bytes = options.bytes_per_fetch
        self._prefetch = options.prefetch
        self._unpack = partial(committed, check_crc=options.check_crc)
        self._name = options.name
        self._client: bootstrap.Client | None = None
        #: Questions under way or answered and not handed over, by broker.
        self._pending: dict[int, asyncio.Task[list[PartitionAnswer]]] = {}
        self._asked: dict[int, list[Partition]] = {}
        self._unreadable = options.unreadable
        self._trouble_said = 0.0
        #: Topics that this client may not read, as of the last answer.
        self._denied: set[str] = set()
        self._answered = self._now()

    async def start(self) -> None:
        """Connects; raises `Recoverable` when no broker answers."""
        client = self._connect()
        try:
            await client.bootstrap()
            await client.set_topics({topic for topic, _ in self._protocol.positions})
            # A fetch that is cancelled while it connects would leave its socket behind.
            leaders = [node for node, _ in self._by_leader(client)]
            await asyncio.gather(*map(client.ready, leaders))
        except kafka_errors.KafkaError as error:
            await client.close()
            otherwise = Recoverable(
                f"the broker at {self._settings.bootstrap_servers} does not answer: "
                f"{type(error).__name__}"
            )
            raise unreachable(error, otherwise) from error
        except BaseException:  # a cancelled start has connections open too
            await client.close()
            raise
        self._client = client

    def _connect(self) -> bootstrap.Client:
        """A client that is not connected yet; a simulated log has another one."""
        return bootstrap.client(self._settings, self._name)

    async def close(self) -> None:
        """Ends the fetch in flight and closes the connections."""
        await self._drop_pending()
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    def position(self, partition: Partition) -> int:
        """The next offset that `fetch` will hand over."""
        return self._protocol.positions[partition]

    def positions(self) -> dict[Partition, int]:
        """All positions, as a copy."""
        return dict(self._protocol.positions)

    def lag(self, cursor: Mapping[Partition, int]) -> dict[Partition, int]:
        """Offsets between each of `cursor` and its log's end, as of the last answer; includes
        offsets that an open transaction holds back.

        At least 1 if no broker has answered for the partition: then the number of new records is
        unknown.
        """
        return self._protocol.lag(cursor)

    def held_back(self) -> dict[Partition, int]:
        """Offsets that cannot be read yet, because they lie behind an open transaction of a
        producer; as of the last answer. Partitions without such offsets are left out.
        """
        return self._protocol.held_back()

    def silent_s(self) -> float:
        """Seconds since a broker last answered a question about all of its partitions."""
        return self._now() - self._answered

    def seek(self, partition: Partition, offset: int) -> None:
        """Moves a position; answers to requests from another position are discarded."""
        self._protocol.positions[partition] = offset

    async def fetch(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[RecordBatch]:
        """The next batches, decompressed, up to `bytes_per_fetch`; otherwise as `fetch_sealed`.

        A batch that cannot be read is skipped with a warning, and passed to `unreadable`. Raises
        Denied if this client may not read a topic.
        """
        before = self.positions()
        sealed = await self.fetch_sealed(max_wait_ms)
        if not sealed:
            if self._denied:
                raise lacks(f"Read on topic {', '.join(sorted(self._denied))}")
            return []
        limits = self._settings.max_batch_bytes, self._bytes
        heavy = sum(len(batch.wire) for batch in sealed) > UNPACK_IN_THREAD
        try:
            found = (
                await asyncio.to_thread(open_batches, sealed, *limits)
                if heavy or any(batch.is_compressed for batch in sealed)
                else open_batches(sealed, *limits)
            )
        except BaseException:  # also when cancelled: what nobody was given is fetched again
            for partition, position in before.items():
                self.seek(partition, position)
            raise
        for partition, offset in found.following.items():
            self.seek(partition, max(offset, before[partition]))
        for batch, code, detail in found.unreadable:
            where = f"{batch.topic}[{batch.partition}]"
            # a whole text: the worker's log drops what repeats a format string
            log.warning(
                f"{self._name}: {where} offsets {batch.base_offset} to {batch.last_offset} are "
                f"passed over: {code}: {detail:.200}"
            )
            if self._unreadable is not None:
                self._unreadable(batch, code, detail)
        self._protocol.learn_growth(found.batches)
        return found.batches

    async def fetch_sealed(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[SealedBatch]:
        """The next batches as in the log, in offset order in each partition; empty after
        `max_wait_ms`.

        Broker errors do not raise: they are logged every few seconds, and the answer is empty.
        Raises `LostRange` if a log no longer holds the position.
        """
        self._ask_leaders(max_wait_ms)
        if not self._pending:
            await asyncio.sleep(RETRY_S)
            return []
        done = await self._some_answered(max_wait_ms)
        for node in done:
            if self._pending[node].exception() is not None:
                self._handed_over(node).result()
        answers = [answer for node in done for answer in self._handed_over(node).result()]
        batches = self._protocol.hand_over(answers) if done else []
        if batches and self._prefetch:
            self._ask_leaders(max_wait_ms)
        return batches

    async def progress(self, silence_s: float = SILENCE_S) -> list[RecordBatch]:
        """The next batches; empty if positions moved only past markers and aborted records.

        For reading up to a certain offset: this may take any time as long as positions move. Raises
        `Recoverable` if no position moves for `silence_s`, and `LostRange`.
        """
        heard = self._now()
        before = self.positions()
        while True:
            batches = await self.fetch()
            if batches or self._protocol.positions != before:
                return batches
            if self._now() > heard + silence_s:
                at = ", ".join(f"{t}[{n}] offset {o}" for (t, n), o in sorted(before.items())[:5])
                raise Recoverable(
                    f"no record came for {silence_s:.0f} s from {at}",
                    remedy="Check that the brokers run, and that these partitions have leaders",
                )

    def _handed_over(self, node: int) -> asyncio.Task[list[PartitionAnswer]]:
        del self._asked[node]
        return self._pending.pop(node)

    async def _some_answered(self, max_wait_ms: int) -> list[int]:
        """The brokers that have answered: the first one, and others that answer shortly after it.

        None after `max_wait_ms`, or when a partition that was refused has to be requested again.
        """
        wait_s = max_wait_ms / 1000 + ANSWER_S
        if resting := self._protocol.resting:
            wait_s = max(0.0, min(wait_s, min(resting.values()) - self._now()))
        await asyncio.wait(
            self._pending.values(), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
        )
        if any(task.done() for task in self._pending.values()):
            # they were asked together as a rule: one step for all of them costs less
            late = [task for task in self._pending.values() if not task.done()]
            if late:
                await asyncio.wait(late, timeout=TOGETHER_S)
        return [node for node, task in self._pending.items() if task.done()]

    async def _drop_pending(self) -> None:
        pending, self._pending, self._asked = list(self._pending.values()), {}, {}
        await end_all(pending)

    def _ask_leaders(self, max_wait_ms: int) -> None:
        """Sends a request to every broker without one in flight, for the partitions that it leads
        and that no other request covers.
        """
        client = self._client
        if client is None:
            raise RuntimeError("Fetcher.fetch before Fetcher.start")
        by_leader = self._by_leader(client)
        self._seek_leaders(client, by_leader)
        protocol = self._protocol
        protocol.awake(self._now())
        taken = {one for some in self._asked.values() for one in some} | protocol.resting.keys()
        share = max(1, len(by_leader))
        for node, led in by_leader:
            wanted = [one for one in led if one not in taken]
            if wanted and node not in self._pending:
                self._asked[node] = wanted
                self._pending[node] = asyncio.create_task(
                    self._ask(client, node, wanted, max_wait_ms, share)
                )

    def _by_leader(self, client: bootstrap.Client) -> list[tuple[int, list[Partition]]]:
        nodes: dict[int, list[Partition]] = {}
        for partition in self._protocol.positions:
            leader = client.cluster.leader_for_partition(TopicPartition(*partition))
            if leader is not None and leader >= 0:
                nodes.setdefault(leader, []).append(partition)
        return list(nodes.items())

    def _seek_leaders(
        self, client: bootstrap.Client, by_leader: list[tuple[int, list[Partition]]]
    ) -> None:
        """Logs partitions without a leader once, and looks for their leaders until all have one
        again.

        The client alone would ask minutes later. The other partitions are fetched meanwhile.
        """
        gone, back = self._protocol.led({one for _, some in by_leader for one in some})
        # whole texts: the worker's log drops what repeats a format string
        if gone:
            log.warning(f"{self._name}: no broker leads {_named(gone)}: not read until one does")
        if back:
            log.warning(f"{self._name}: {_named(back)} has a leader again and is read on")
        now = self._now()
        if self._protocol.leaderless and now - self._leaders_asked > LEADERS_EVERY_S:
            self._leaders_asked = now
            client.force_metadata_update()

    async def _ask(
        self,
        client: bootstrap.Client,
        node: int,
        wanted: list[Partition],
        max_wait_ms: int,
        share: int,
    ) -> list[PartitionAnswer]:
        """One request to one broker; `share` is the number of brokers asked at a time."""
        self._random.shuffle(wanted)  # the broker fills a response in this order: none may starve
        asked = self._protocol.ask(wanted, share, max_wait_ms)
        try:
            response = await self._response(client, node, asked)
        except kafka_errors.KafkaError as error:
            timed_out = isinstance(error, kafka_errors.RequestTimedOutError)
            self._protocol.silent(asked, timed_out=timed_out)
            self._trouble(wanted, f"{type(error).__name__} {error}".strip())
            return []
        heard = self._protocol.heard(asked, response)
        if not heard.refused and not heard.other:
            self._answered = self._now()
        self._denied -= {topic for topic, _ in asked.positions}
        for partition, why in heard.refused:
            if why == _NO_RIGHT.__name__:
                self._denied.add(partition[0])
            self._trouble([partition], f"{partition[0]}[{partition[1]}]: {why}")
        if heard.other:
            await self._check_ids(client, heard.other)
        if heard.lost is not None:
            raise heard.lost
        answers: list[PartitionAnswer] = []
        for raw in heard.sent:
            arguments = (raw.data, raw.partition, raw.asked_from, raw.aborted)
            try:
                got, following = (
                    await asyncio.to_thread(self._unpack, *arguments)
                    if heard.size > UNPACK_IN_THREAD
                    else self._unpack(*arguments)
                )
            except CorruptBatch as error:
                # it is asked for again: the others go on, and a person may pass it over
                self._trouble([raw.partition], str(error))
                continue
            answers.append(PartitionAnswer(raw.partition, raw.asked_from, got, following))
        return answers

    async def _response(self, client: bootstrap.Client, node: int, asked: FetchQuestion) -> Any:
        """The answer in the shape of version 4 to 11 of the request. Raises KafkaError."""
        ids = self._ids  # another broker's answer may show meanwhile that it knows none
        if ids:
            try:
                answer = await client.send(node, FetchById(asked, READ_COMMITTED, ids))
            except NotImplementedError:
                log.warning(
                    "%s: brokers before Kafka 3.1 cannot be asked by a topic's id: a topic that is "
                    "created again while workers run is found within a minute only",
                    self._name,
                )
                self._ids = {}
            else:
                error = kafka_errors.for_code(answer.error_code)
                if error is not kafka_errors.NoError:
                    raise error
                return named(answer, ids)
        request = FetchRequest(
            asked.wait_ms, asked.least, asked.most, READ_COMMITTED, asked.topics()
        )
        return await client.send(node, request)

    async def _check_ids(self, client: bootstrap.Client, refused: Sequence[Partition]) -> None:
        """Raises `LostRange` where one of these is of a topic that was created again."""
        try:
            ids = await ids_told(client, {topic for topic, _ in refused})
        except (kafka_errors.KafkaError, Recoverable):
            return  # it is asked for again
        now = self._now()
        for partition in refused:
            topic, _ = partition
            if ids.get(topic, self._ids[topic]) == self._ids[topic]:
                self._other_since.pop(topic, None)
            elif now - self._other_since.setdefault(topic, now) >= ANEW_AFTER_S:
                raise LostRange(partition, self._protocol.positions[partition], made_anew=True)

    def _trouble(self, partitions: Iterable[Partition], what: str) -> None:
        """Leaves these alone for a moment, and has the client ask who leads them."""
        now = self._now()
        if now - self._trouble_said > TROUBLE_EVERY_S:
            self._trouble_said = now
            log.warning(
                "%s: waiting for the broker at %s: %s",
                self._name,
                self._settings.bootstrap_servers,
                what,
            )
        self._protocol.rest(partitions, now + RETRY_S)
        if self._client is not None:
            self._client.force_metadata_update()


def _named(partitions: Iterable[Partition]) -> str:
    return ", ".join(f"{topic}[{number}]" for topic, number in sorted(partitions))
