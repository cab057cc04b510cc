"""The seam to Kafka: the only operations on logs that shards, coordinator and views use.

An actor is given a `Log` and gets readers, writers and an admin from it. `kafka_log.KafkaLog` is
the implementation for brokers. `tests/streams/kafka/test_log_conformance.py` states the contract of
these protocols and runs it against every implementation.

Every coroutine method may be cancelled, and every one has a time limit, which its docstring gives.
Errors of brokers are `Recoverable`: repeating may succeed, and is always safe.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.decode.batch import RecordBatch, SealedBatch
from schemas.errors import Fatal, Recoverable
from streams.kafka.topic_specs import TopicLayout, TopicProblem

__all__ = [
    "DEFAULT_OPTIONS",
    "IDLE_WAIT_MS",
    "SILENCE_S",
    "Fenced",
    "Log",
    "LogAdmin",
    "LogAppender",
    "LogReader",
    "LogWriter",
    "LostRange",
    "MayFence",
    "Partition",
    "ReaderOptions",
    "Record",
    "RecordGroup",
    "StepFailed",
    "Unreadable",
    "at_once",
]

Partition = tuple[str, int]
"""(topic, number)"""

Unreadable = Callable[[RecordBatch, str, str], None]
"""Takes a batch that cannot be read, with a code and its reason."""

MayFence = Callable[[], Awaitable[None]]
"""Awaited directly before the start of a writer: returns once this worker may fence the former
writer, which may be that of another worker.
"""


async def at_once() -> None:
    """A `MayFence` that waits for nothing, for a process that has the topics for itself."""


#: How long a reader waits for something new before its answer is empty.
IDLE_WAIT_MS = 500
#: Reading up to an offset ends with an error when no position moves for this time.
SILENCE_S = 30.0


class LostRange(Fatal):
    """The log of an input does not hold the next offset to read.

    `log` has the log's bounds, half-open, if they are known. `made_anew` means that the topic was
    deleted and created again, and the position belongs to the former topic.
    """

    def __init__(
        self,
        partition: Partition,
        position: int,
        *,
        log: tuple[int, int] | None = None,
        made_anew: bool = False,
    ) -> None:
        topic, number = partition
        self.partition = partition
        self.position = position
        self.log = log
        self.made_anew = made_anew or (log is not None and position > log[1])
        where = f"{topic}[{number}]"
        if self.made_anew:
            end = "" if log is None else f" and the log ends at {log[1]}"
            super().__init__(
                f"{where}: offset {position} is to be read next{end}: the topic was deleted and "
                "created again",
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


class StepFailed(Recoverable):
    """A step's transaction failed or its outcome is unknown; recover from the changelog."""


class Fenced(Recoverable):
    """A newer owner has this transactional id: this owner must stop writing."""


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record to be written; a value of None is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RecordGroup:
    """Many records for one partition, sent as whole batches: `(key, value, timestamp ms)`.

    All records have `headers`; `own_headers`, if given, has additional headers for each record.
    """

    topic: str
    partition: int
    headers: tuple[tuple[str, bytes], ...]
    records: Sequence[tuple[bytes | None, bytes | None, int]] = field(default_factory=list)
    own_headers: Sequence[tuple[tuple[str, bytes], ...]] = ()


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """How a reader reads.

    `ends`: lower bounds of the logs' ends, for the lag before the first answer.
    `bytes_per_fetch` limits what one call hands over, except for the last batch: decompressed
    bytes for `fetch`, bytes in the log for `fetch_sealed`. `prefetch`: one more round may be in
    flight meanwhile. `linger_ms`: the log may collect records for this time before it answers,
    unless no records came recently. `check_crc`: batches with a wrong checksum are not handed over.
    `unreadable` takes batches that `fetch` skips. `name`: for log messages. `ids`: the id of each
    topic to which the positions belong (32 hex digits). If a topic was deleted and created again,
    nothing of the new one is read: the reader raises `LostRange` with `made_anew`, and no position
    moves.
    """

    ids: Mapping[str, str] | None = None
    ends: Mapping[Partition, int] = field(default_factory=dict)
    bytes_per_fetch: int = 8_000_000
    bytes_per_partition: int = 3_000_000
    prefetch: bool = False
    linger_ms: int = 0
    check_crc: bool = True
    unreadable: Unreadable | None = None
    name: str = "reader"


DEFAULT_OPTIONS = ReaderOptions()


class LogReader(Protocol):
    """Reads committed records of some partitions, each from a position that the reader holds.

    It joins no group and commits nothing: its owner stores the positions. Offsets of one partition
    come in order, each once; partitions have no order among each other. Markers and records of
    aborted transactions are never returned; positions move past them. Only one task may read at a
    time.
    """

    async def start(self) -> None:
        """Connects; call once, before reading. A partition may have no leader, or its topic may not
        exist: it is read as soon as it has a leader.

        Raises `Recoverable` if no broker answers within some seconds.
        """

    async def close(self) -> None:
        """Closes all connections and drops requests in flight. May be called at any time and
        repeatedly; raises nothing, and takes a few seconds at most.
        """

    def position(self, partition: Partition) -> int:
        """The next offset that will be handed over; does not wait."""

    def positions(self) -> dict[Partition, int]:
        """All positions, as a copy; does not wait."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Moves a position; does not wait. The next batches of the partition are read from there.

        The first batch may begin below `offset`, because batches are handed over whole.
        """

    def lag(self, cursor: Mapping[Partition, int]) -> dict[Partition, int]:
        """Offsets between each of `cursor` and its log's end (the high watermark, so records and
        markers of open transactions count), as of the last answer; does not wait.

        At least 1 if no broker has answered for the partition since the start or since its last
        error; so 0 means that the log held no further records.
        """

    def held_back(self) -> dict[Partition, int]:
        """The part of the lag that cannot be read yet, because it lies behind the beginning of an
        open transaction. Partitions without such offsets are left out; does not wait.
        """

    def silent_s(self) -> float:
        """Seconds since a broker last answered, or since the start: while brokers answer, less than
        a second more than what `fetch` waits; does not wait.
        """

    async def fetch(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[RecordBatch]:
        """The next batches, decompressed; empty if none came within about `max_wait_ms`.

        May return empty earlier, if positions moved past markers. Broker errors do not raise: they
        are logged, and the answer is empty. A batch that cannot be read is skipped with a warning,
        and passed to the reader's `unreadable`. Raises `LostRange` if a position lies outside of
        its log. After a cancellation or an error no position has moved: the same call returns the
        same batches.
        """

    async def fetch_sealed(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[SealedBatch]:
        """As `fetch`, but batches are returned as in the log: compressed, and perhaps
        unreadable.
        """

    async def progress(self, silence_s: float = SILENCE_S) -> list[RecordBatch]:
        """As `fetch`, but waits until a position has moved: empty only if positions moved past
        markers and aborted records alone.

        For reading up to a certain offset: this may take any time as long as positions move. Raises
        `Recoverable` if no position moves for `silence_s`, and `LostRange`.
        """


class LogWriter(Protocol):
    """Writes transactions under one transactional id, one at a time. `start` once, then `commit`.

    After any error the writer must not be used again, because the outcome of the step may be
    unknown. Its owner closes it, starts another writer, and reads what was committed.
    """

    @property
    def transactional_id(self) -> str:
        """The id that fences: of all writers under it, only the last one that started may
        commit.
        """

    @property
    def producer_id(self) -> int | None:
        """The producer id in the batches of this writer; None before the start and after the
        close.
        """

    @property
    def appended_ms(self) -> int | None:
        """The log's append time of the last step, UTC ms; None if the log keeps the writer's
        timestamps.
        """

    async def start(self) -> None:
        """Fences former writers. Once it returns, no former writer under this id can commit, and
        transactions that former writers left open are aborted.

        A step that a former writer committed before remains, though its markers may still be in
        flight: to see it, read up to a record of your own. Raises `Fenced` if another writer has
        started meanwhile, and `StepFailed` if the log does not answer within twice the setting
        `transaction_timeout`.
        """

    async def commit(
        self,
        records: Sequence[Record],
        *,
        groups: Sequence[RecordGroup] = (),
        first: Sequence[Record] = (),
        then: Callable[[list[int]], Sequence[Record]] | None = None,
        ending: Callable[[], None] | None = None,
    ) -> list[int]:
        """Commits one step, whole or not at all. Returns the offsets of `records`, followed by
        those of `then`.

        `first` is sent before all others, and its offsets are passed to `then`, whose records join
        the same transaction: so an archive record and the manifest entry that names its offset are
        committed together. `ending` is called after everything is sent, just before the commit: if
        the commit succeeds, no other writer had started before that call.

        Waits for a step in progress, then at most the setting `transaction_timeout`. Raises
        `Fenced` if another writer has the id, `StepFailed` if the step failed or its outcome is
        unknown, or if the former commit was acknowledged only when it was asked for again; errors
        of `then` and `ending` pass through. After an error or a cancellation the
        writer must not be used again. The step is then aborted, unless its commit was in progress.
        An open step holds readers back until the next writer under the id starts, or the log aborts
        it by timeout.
        """

    async def close(self) -> None:
        """Closes all connections; an uncommitted step is aborted later, as described above. May be
        called at any time and repeatedly; raises no broker errors, and takes a few seconds at most.
        """


class LogAppender(Protocol):
    """Appends single records outside of any step: each is there or not, by itself.

    Connects at the first one. Several tasks may append at a time; there is no order between them.
    """

    async def append(self, record: Record) -> int:
        """Appends a record and returns its offset, once it is kept as safely as any other.

        Raises `Recoverable` where that is not known within 10 s: the record may be there all the
        same, once. May be called again after that.
        """

    async def close(self) -> None:
        """Lets go of all connections; at any time, any number of times; raises nothing, and takes
        a few seconds at most."""


class LogAdmin(Protocol):
    """Metadata of logs, deletion of their records, and the topics of one deployment, which has a
    specification for each. Each call connects separately.
    """

    async def answers(self, host_s: float) -> bool:
        """Whether any broker answers; each has `host_s` seconds.

        Raises `refusal.BrokerRefuses` if those that answer do not accept this client.
        """

    async def topics(self) -> dict[str, int]:
        """The number of partitions of every topic of the cluster, also of other programs.

        Raises `Recoverable` if no broker answers within 30 s.
        """

    async def create(self) -> list[str]:
        """Creates the missing topics of the deployment. Returns their names, once all of their
        partitions have leaders; existing topics stay as they are.

        Raises `Recoverable` if no broker answers within 30 s, `Fatal` if the broker refuses.
        """

    async def inspect(self) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
        """The differences between the topics of the deployment and their specification, and the
        layout of those that exist.

        Raises `Recoverable` if no broker answers within 30 s.
        """

    async def repair(self) -> list[TopicProblem]:
        """Corrects every wrong setting that may be corrected without harm; returns these problems,
        once they are solved.

        Raises `Recoverable` if no broker answers within 30 s, `Fatal` if the broker refuses.
        """

    async def lacking(
        self, wanted: Mapping[str, Collection[str]], transactional_id: str
    ) -> list[str]:
        """The rights that this client lacks, in words: on topics (`wanted`: operations by topic),
        on the group of workers and on a transactional id.

        Raises `Recoverable` if no broker answers within 30 s.
        """

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """`(first offset, last stable offset)` of each partition, half-open.

        A step that was just committed may not be below the end yet. Raises `Recoverable` if no
        broker answers, or a partition has no leader, within 40 s.
        """

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """Every partition of the topics. Raises `Fatal` if a topic does not exist, `Recoverable` if
        no broker answers within some seconds.
        """

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The id of each topic that exists. A topic that is deleted and created again gets another
        id.

        Raises `Recoverable` if no broker answers within 30 s.
        """

    async def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """The current settings of topics, by topic and name.

        Raises `Recoverable` if no broker answers within 30 s, or the broker refuses.
        """

    async def delete_below(self, partition: Partition, offset: int) -> None:
        """Deletes the records below `offset`: once it returns, the log begins there.

        Raises `Recoverable` if the broker refuses, for example an offset above the log's end, or if
        no broker answers within 30 s: then either nothing more or everything requested is deleted.
        """


class Log(Protocol):
    """All logs of one cluster. Creating a reader or a writer does not connect yet."""

    @property
    def address(self) -> str:
        """The cluster's address, for messages."""

    @property
    def admin(self) -> LogAdmin:
        """An admin of these logs."""

    def reader(
        self,
        cursor: Mapping[Partition, int],
        options: ReaderOptions = DEFAULT_OPTIONS,
    ) -> LogReader:
        """A reader from `cursor` on: the next offset to read of each partition."""

    def writer(self, transactional_id: str) -> LogWriter:
        """A writer under this id."""

    def appender(self, name: str = "appender") -> LogAppender:
        """An appender; `name`: for logs."""
