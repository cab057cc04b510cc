"""The transaction coordinator of the simulated cluster, in the first protocol (EndTxn v0)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from aiokafka import errors as kafka_errors

from streams.kafka.log import Partition

__all__ = ["Transactions"]


class _Phase(Enum):
    EMPTY = auto()
    OPEN = auto()
    #: The outcome is decided, and markers are on their way.
    ENDING = auto()


@dataclass(slots=True)
class _Id:
    """One transactional id."""

    producer: int
    epoch: int = -1
    timeout_s: float = 60.0
    phase: _Phase = _Phase.EMPTY
    partitions: dict[Partition, None] = field(default_factory=dict)
    committed: bool | None = None
    #: Counts transactions, so that a timer knows its own.
    serial: int = 0


class Transactions:
    """`write_marker(partition, producer, epoch, commit, done)` writes one marker, some time later,
    and calls `done`. `later(seconds, callback)` is the cluster's timer; `reach` is told of rare
    states.
    """

    def __init__(
        self,
        write_marker: Callable[[Partition, int, int, bool, Callable[[], None]], None],
        later: Callable[[float, Callable[[], None]], None],
        reach: Callable[[str], None],
    ) -> None:
        self._write_marker = write_marker
        self._later = later
        self._reach = reach
        self._ids: dict[str, _Id] = {}
        self._producers = 1_000

    def new_producer(self) -> int:
        """The id of an idempotent producer."""
        self._producers += 1
        return self._producers

    def init(self, name: str, timeout_s: float) -> tuple[int, int]:
        """Fences former producers under this id: `(producer id, epoch)`.

        Raises `ConcurrentTransactions` until a transaction that was open is aborted.
        """
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = _Id(self.new_producer())
        if found.phase is _Phase.OPEN:
            self._reach("open transaction fenced")
            found.epoch += 1
            self._decide(found, commit=False)
        if found.phase is _Phase.ENDING:
            raise kafka_errors.ConcurrentTransactions
        found.epoch += 1
        found.timeout_s = timeout_s
        found.committed = None
        return found.producer, found.epoch

    def add(self, name: str, producer: int, epoch: int, partitions: Iterable[Partition]) -> None:
        """Adds partitions to the open transaction, or opens one."""
        found = self._of(name, producer, epoch)
        if found.phase is _Phase.ENDING:
            raise kafka_errors.ConcurrentTransactions
        if found.phase is _Phase.EMPTY:
            found.phase = _Phase.OPEN
            found.partitions = {}
            found.serial += 1
            serial = found.serial
            self._later(found.timeout_s, lambda: self._expire(found, serial))
        found.partitions.update(dict.fromkeys(partitions))

    def verify(self, name: str, producer: int, epoch: int, partition: Partition) -> None:
        """What a partition's leader asks before it takes a batch."""
        found = self._of(name, producer, epoch)
        if found.phase is not _Phase.OPEN or partition not in found.partitions:
            raise kafka_errors.InvalidTxnState

    def end(self, name: str, producer: int, epoch: int, *, commit: bool) -> None:
        """Decides the open transaction. The same request again has the same answer."""
        found = self._of(name, producer, epoch)
        if found.phase is _Phase.OPEN:
            self._decide(found, commit=commit)
        elif found.committed is not commit:
            raise kafka_errors.InvalidTxnState

    def _of(self, name: str, producer: int, epoch: int) -> _Id:
        found = self._ids.get(name)
        if found is None or found.producer != producer:
            raise kafka_errors.InvalidProducerIdMapping
        if found.epoch != epoch:
            self._reach("fenced")
            raise kafka_errors.InvalidProducerEpoch(f"epoch {epoch}, and now {found.epoch}")
        return found

    def _decide(self, found: _Id, *, commit: bool) -> None:
        found.phase = _Phase.ENDING
        found.committed = commit
        left = dict(found.partitions)

        def written(partition: Partition) -> None:
            left.pop(partition, None)
            if not left and found.phase is _Phase.ENDING:
                found.phase = _Phase.EMPTY

        for partition in found.partitions:
            self._write_marker(
                partition,
                found.producer,
                found.epoch,
                commit,
                lambda partition=partition: written(partition),  # type: ignore[misc]
            )

    def _expire(self, found: _Id, serial: int) -> None:
        if found.phase is _Phase.OPEN and found.serial == serial:
            self._reach("transaction timed out")
            found.epoch += 1  # its producer is fenced
            self._decide(found, commit=False)
