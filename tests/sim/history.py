"""Everything that was ever written to the simulated log, as it was: compaction and deletion take
nothing from it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from unittest.mock import patch

from schemas.decode.batch import COMMIT
from streams.kafka.log import Partition
from tests.sim.log.batches import Entry, Stored
from tests.sim.log.cluster import Cluster
from tests.sim.log.partition_log import PartitionLog

__all__ = ["Committed", "Kept", "recording"]


class Committed(NamedTuple):
    """A record that readers of committed records see. `batch` and `marker` are the numbers of its
    batch, and of the marker that committed it, among those of its partition; `stamp_ms` is the
    record's time.
    """

    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    stamp_ms: int
    batch: int
    marker: int
    producer: int


@dataclass
class Kept:
    """The batches of each partition log, in order."""

    batches: dict[int, list[Stored]] = field(default_factory=dict)
    _logs: list[PartitionLog] = field(default_factory=list)

    def count(self, log: PartitionLog) -> int:
        """How many batches and markers a partition has had so far."""
        return len(self.batches.get(id(log), ()))

    def note(self, log: PartitionLog, batch: Stored) -> None:
        """A batch is appended."""
        if id(log) not in self.batches:
            self._logs.append(log)  # so that no other one gets its id
            self.batches[id(log)] = []
        self.batches[id(log)].append(batch)

    def committed(self, cluster: Cluster, partition: Partition) -> list[Committed]:
        """All committed records of a partition so far, by offset."""
        log = cluster.log(partition)
        found: list[Committed] = []
        open_now: dict[int, list[tuple[int, Stored]]] = {}
        for number, batch in enumerate(self.batches.get(id(log), ())):
            producer = batch.by.producer
            if batch.ends is not None:
                held = open_now.pop(producer, [])
                if batch.ends == COMMIT:
                    for at, one in held:
                        found += _records(one, at, number, log.stamps)
            elif batch.by.transactional:
                open_now.setdefault(producer, []).append((number, batch))
            else:
                found += _records(batch, number, number, log.stamps)
        return sorted(found)


def _records(batch: Stored, at: int, marker: int, stamps: bool) -> Iterator[Committed]:
    for number, entry in enumerate(batch.entries):
        yield Committed(
            batch.base + number,
            entry.key,
            entry.value,
            {name: value or b"" for name, value in entry.headers},
            batch.stamp_ms if stamps else _stamp(entry),
            at,
            marker,
            batch.by.producer,
        )


def _stamp(entry: Entry) -> int:
    return entry.timestamp_ms


@contextmanager
def recording() -> Iterator[Kept]:
    """Inside, all that is appended to any partition log is kept."""
    kept = Kept()
    put = PartitionLog._put

    def noted(log: PartitionLog, batch: Stored) -> None:
        kept.note(log, batch)
        put(log, batch)

    with patch.object(PartitionLog, "_put", noted):
        yield kept
