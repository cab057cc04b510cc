"""The seam to Kafka: what shards, coordinator and views ask of a log, and nothing else.

An actor is given a `Log` and gets readers, writers and an admin from it. `kafka_log.KafkaLog` is
the one for brokers; `tests/streams/kafka/test_log_conformance.py` states the contract of these
protocols, and holds every implementation to it.

Each method that is a coroutine may be cancelled, and none waits for ever: each says after what
time it gives up. Broker trouble is `Recoverable`: to begin again may help, and is always safe.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.decode.batch import RecordBatch, SealedBatch
from schemas.errors import Fatal, Recoverable

__all__ = [
    "IDLE_WAIT_MS",
    "SILENCE_S",
    "Fenced",
    "Log",
    "LogAdmin",
    "LogReader",
    "LogWriter",
    "LostRange",
    "Partition",
    "Record",
    "RecordGroup",
    "StepFailed",
    "Unreadable",
]

Partition = tuple[str, int]
"""(topic, number)"""

Unreadable = Callable[[RecordBatch, str, str], None]
"""Takes a batch that cannot be read, with a code and its reason."""

#: How long a reader waits for something new before its answer is empty.
IDLE_WAIT_MS = 500
#: Reading up to somewhere is given up when nothing moves for so long.
SILENCE_S = 30.0


class LostRange(Fatal):
    """The log of an input does not hold the offset that has to be read next.

    `log` has the log's bounds, half-open, where they are known; `made_anew` says that the
    position is one in an earlier topic of that name, whatever the log holds.
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
        where = f"{topic}[{number}]"
        if log is not None and (made_anew or position > log[1]):
            super().__init__(
                f"{where}: offset {position} is to be read next and the log ends at {log[1]}: the "
                "topic was deleted and made anew",
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
    """A newer owner holds this transactional id: this one must let go."""


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

    All have `headers`; `own_headers`, where given, has further ones for each record.
    """

    topic: str
    partition: int
    headers: tuple[tuple[str, bytes], ...]
    records: Sequence[tuple[bytes | None, bytes | None, int]] = field(default_factory=list)
    own_headers: Sequence[tuple[tuple[str, bytes], ...]] = ()


class LogReader(Protocol):
    """Reads committed records of some partitions, each from a position that the reader holds.

    It joins no group and commits nothing: the positions are its owner's. Offsets of one partition
    come in order, each once; there is no order between partitions. Records of aborted
    transactions never come, nor markers: positions pass both. One task reads at a time.
    """

    async def start(self) -> None:
        """Connects; once, before anything is read. A partition may be without a leader, or of no
        topic at all: it is read as soon as there is one.

        Raises `Recoverable` where no broker answers within some seconds.
        """

    async def close(self) -> None:
        """Lets go of all connections, and of what was asked for. At any time, any number of times;
        raises nothing, and takes a few seconds at most."""

    def position(self, partition: Partition) -> int:
        """The next offset that will be handed over; at once."""

    def positions(self) -> dict[Partition, int]:
        """All positions, as a copy; at once."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Moves a position, at once: the next batches of the partition are those from there.

        The first of them may begin below `offset`: batches are handed over whole.
        """

    def lag(self, cursor: Mapping[Partition, int]) -> dict[Partition, int]:
        """Offsets between each of `cursor` and its log's end (the high watermark, so records and
        markers of open transactions count), as of the last answer; at once.

        At least 1 where no broker has answered for the partition since the start or the last
        trouble with it: 0 means that there was nothing more.
        """

    def held_back(self) -> dict[Partition, int]:
        """Of the lag, offsets that cannot be read yet, as they lie behind the beginning of a
        transaction that is still open; partitions without any are left out; at once."""

    async def fetch(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[RecordBatch]:
        """The next batches, decompressed; empty where none came in about `max_wait_ms`.

        May be empty earlier: positions may have moved past markers. Broker trouble is waited out:
        it is logged, and the answer is empty. A batch that cannot be read is passed over with a
        warning, and given to the reader's `unreadable`. Raises `LostRange` where a position lies
        outside of its log. Cancelled, or after an error, no position has moved: the same call
        gives what this one would have given.
        """

    async def fetch_sealed(self, max_wait_ms: int = IDLE_WAIT_MS) -> list[SealedBatch]:
        """As `fetch`, but batches are as the log has them: compressed, and perhaps unreadable."""

    async def progress(self, silence_s: float = SILENCE_S) -> list[RecordBatch]:
        """As `fetch`, but waits until a position has moved: empty only where it moved past markers
        and aborted records.

        For reading up to somewhere: that may take as long as it gets on. Raises `Recoverable`
        where no position moves for `silence_s`, and `LostRange`.
        """


class LogWriter(Protocol):
    """Writes transactions under one transactional id, one at a time. `start` once, then `commit`.

    After any error it is spent: the outcome of the step may be unknown. Its owner closes it,
    starts another one, and reads what was committed.
    """

    @property
    def transactional_id(self) -> str:
        """The id that fences: of all writers under it, the one that started last may commit."""

    @property
    def producer_id(self) -> int | None:
        """The id of the writer in what it writes; None before the start and after the close."""

    @property
    def appended_ms(self) -> int | None:
        """The log's time of the last step, UTC ms; None where the log keeps the writer's times."""

    async def start(self) -> None:
        """Takes the id over. Once it returns, no former writer under this id commits any more, and
        what such a one left open is aborted.

        A step that the former one committed before stays, though its markers may be on their way:
        read up to a record of one's own. Raises `Fenced` where another one took over meanwhile,
        `StepFailed` where the log does not answer within twice the setting `transaction_timeout`.
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
        """Commits one step: all of it or none. Returns the offsets of `records` followed by those
        of `then`.

        `first` is sent before all others, and its offsets are handed to `then`, whose records join
        the same transaction: an archive record and the manifest entry that names its offset are
        committed together. `ending` is called once all is sent, just before the commit: what
        follows happens only where no other writer has taken over by then.

        Waits for a step under way, then for at most the setting `transaction_timeout`. Raises
        `Fenced` where another writer has the id, `StepFailed` where the step failed or nobody can
        say; what `then` and `ending` raise comes through. After either, and when cancelled, the
        writer is spent, and the step is aborted unless its commit was under way; an open one holds
        readers back until the next writer under the id starts, or the log gives it up.
        """

    async def close(self) -> None:
        """Lets go of all connections; what was not committed is aborted later, as above. At any
        time, any number of times; raises no broker trouble, and takes a few seconds at most."""


class LogAdmin(Protocol):
    """What is asked about logs, and deleted from them. Each call connects by itself."""

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """`(first offset, last stable offset)` of each partition, half-open.

        A step that was just committed may not be below the end yet. Raises `Recoverable` where
        no broker answers, or none leads one of them, within 40 s.
        """

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """Every partition of the topics. Raises `Fatal` where there is no such topic,
        `Recoverable` where no broker answers within some seconds."""

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Which incarnation each topic is that exists: a topic made anew has another id.

        Raises `Recoverable` where no broker answers within 30 s.
        """

    async def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """The settings of topics, by topic and name, as they are now.

        Raises `Recoverable` where no broker answers within 30 s, or does not tell.
        """

    async def delete_below(self, partition: Partition, offset: int) -> None:
        """Deletes the records below `offset`: the log begins there once it returns.

        Raises `Recoverable` where the broker refuses, as for an offset above the log's end, or
        none answers within 30 s: then as much is deleted as before, or as was asked for.
        """


class Log(Protocol):
    """All logs of one cluster. Making a reader or a writer connects to nothing yet."""

    @property
    def address(self) -> str:
        """Where it is, for messages."""

    @property
    def admin(self) -> LogAdmin:
        """Asks about logs."""

    def reader(
        self,
        cursor: Mapping[Partition, int],
        *,
        ends: Mapping[Partition, int] | None = None,
        bytes_per_fetch: int = 8_000_000,
        bytes_per_partition: int = 3_000_000,
        prefetch: bool = False,
        linger_ms: int = 0,
        unreadable: Unreadable | None = None,
        name: str = "reader",
    ) -> LogReader:
        """A reader from `cursor` on: the next offset to read of each partition.

        `ends`: where logs end at least, for the lag before the first answer. `bytes_per_fetch`
        bounds, but for the last batch, what one call hands over: decompressed bytes of `fetch`,
        bytes in the log of `fetch_sealed`. `prefetch`: one more round may be under way meanwhile.
        `linger_ms`: so long the log may gather before it answers, unless nothing came lately.
        `name`: for logs.
        """

    def writer(self, transactional_id: str) -> LogWriter:
        """A writer under this id."""
