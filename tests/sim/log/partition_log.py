"""One partition of the simulated cluster: batches, open transactions, what readers may read."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from aiokafka import errors as kafka_errors

from schemas.decode.batch import COMMIT
from tests.sim.log.batches import PLAIN, Entry, Stored, Written, marker, stored

__all__ = ["Found", "PartitionLog"]

_REMEMBERED = 5


@dataclass(slots=True)
class _Producer:
    """What a partition knows of a producer: its epoch, and its last batches as
    `(sequence, count, base offset, stamp)`.
    """

    epoch: int
    batches: deque[tuple[int, int, int, int]] = field(
        default_factory=lambda: deque(maxlen=_REMEMBERED)
    )

    @property
    def next_sequence(self) -> int:
        if not self.batches:
            return 0
        sequence, count, _, _ = self.batches[-1]
        return sequence + count


@dataclass(frozen=True, slots=True)
class Found:
    """What a fetch finds: whole batches, and the aborted transactions among them as
    `(producer, first offset)`.
    """

    data: bytes
    aborted: list[tuple[int, int]]


_NOTHING = Found(b"", [])


class PartitionLog:
    """Offsets `begin` to `end`; up to `stable` no transaction is open.

    `waiters` are called whenever readers may find something new. `stamps`: whether the log stamps
    what comes. `reach` is told of rare states.
    """

    def __init__(self, stamps: bool, reach: Callable[[str], None]) -> None:
        self.stamps = stamps
        self._reach = reach
        #: What a new leader takes for the end, until it knows better.
        self._behind: int | None = None
        self.begin = self.end = 0
        self.batches: list[Stored] = []
        self._bases: list[int] = []
        #: First offset of the open transaction of each producer.
        self._open: dict[int, int] = {}
        #: (marker's offset, producer, first offset)
        self._aborted: list[tuple[int, int, int]] = []
        self._producers: dict[int, _Producer] = {}
        #: Lowest number of a first batch that the coordinator was asked about: (epoch, number).
        self._asked: dict[int, tuple[int, int]] = {}
        self.waiters: dict[Callable[[], None], None] = {}

    @property
    def high(self) -> int:
        """The high watermark: what lies behind it is not shown to readers."""
        return self.end if self._behind is None else self._behind

    @property
    def stable(self) -> int:
        """The last stable offset: readers of committed records stop there."""
        high = self.end if self._behind is None else self._behind
        return min(high, *self._open.values()) if self._open else high

    @property
    def is_behind(self) -> bool:
        """Whether the leader does not know yet how much is committed."""
        return self._behind is not None

    def fall_behind(self, offset: int) -> None:
        """A new leader knows only that what lies below `offset` is committed."""
        self._behind = max(self.begin, min(offset, self.end))

    def catch_up(self) -> None:
        """The leader knows again what is committed."""
        self._behind = None
        self.wake()

    def opened_by(self, producer: int) -> int | None:
        """Where this producer's open transaction begins."""
        return self._open.get(producer)

    def ask_about(self, by: Written) -> None:
        """The leader asks the coordinator whether this producer's transaction is open. What was
        refused then may not be left out later.
        """
        epoch, lowest = self._asked.get(by.producer, (-1, 0))
        if by.epoch > epoch:
            self._asked[by.producer] = by.epoch, by.sequence
        elif by.epoch == epoch:
            self._asked[by.producer] = epoch, min(lowest, by.sequence)

    def append(
        self, entries: Sequence[Entry], now_ms: int, by: Written = PLAIN, codec: int = 0
    ) -> tuple[int, int]:
        """Appends a batch: `(offset of its first record, stamp)`. A batch that is there already
        changes nothing.

        Raises `InvalidProducerEpoch` and `OutOfOrderSequenceNumber`.
        """
        known = self._producers.get(by.producer) if by.producer >= 0 else None
        if known is not None and by.epoch == known.epoch:
            for sequence, count, base, stamp in known.batches:
                if (sequence, count) == (by.sequence, len(entries)):
                    self._reach("deduplicated")
                    return base, stamp
        self._check_sequence(known, by)
        base = self.end
        batch = stored(entries, base, by, codec=codec, append_ms=now_ms if self.stamps else None)
        if by.producer >= 0:
            if known is None or known.epoch != by.epoch:
                known = self._producers[by.producer] = _Producer(by.epoch)
            known.batches.append((by.sequence, len(entries), base, batch.stamp_ms))
        if by.transactional:
            self._open.setdefault(by.producer, base)
            self._asked.pop(by.producer, None)
        self._put(batch)
        return base, batch.stamp_ms

    def append_wire(self, batch: Stored) -> None:
        """Appends a batch as it is; its base must be the end."""
        self._put(batch)

    def finish(self, producer: int, epoch: int, commit: bool, now_ms: int) -> None:
        """Appends a transaction's marker."""
        by = Written(producer, epoch, -1, True)
        known = self._producers.setdefault(producer, _Producer(epoch))
        if epoch > known.epoch:
            self._producers[producer] = _Producer(epoch)
        self._asked.pop(producer, None)
        first = self._open.pop(producer, None)
        if not commit and first is not None:
            self._aborted.append((self.end, producer, first))
        self._put(marker(self.end, by, commit, now_ms))

    def read(self, position: int, most: int, *, first: bool) -> Found:
        """Whole batches from `position` up to the last stable offset, of at most `most` bytes; with
        `first`, one batch may be larger.
        """
        stable = self.stable
        if position >= stable:
            return _NOTHING
        at = max(0, bisect_right(self._bases, position) - 1)
        parts: list[bytes] = []
        size = 0
        low = high = -1
        for number in range(at, len(self.batches)):
            batch = self.batches[number]
            if batch.base >= stable:
                break
            if batch.last < position:
                continue
            size += len(batch.wire)
            if size > most and (parts or not first):
                break
            if low < 0:
                low = batch.base
            high = batch.last
            parts.append(batch.wire)
        aborted = [(p, start) for end, p, start in self._aborted if end >= low and start <= high]
        return Found(b"".join(parts), aborted if parts else [])

    def has(self, position: int) -> bool:
        """Whether a fetch from there finds something."""
        return position < self.stable

    def delete_below(self, offset: int) -> None:
        """Moves the beginning; whole batches go with it."""
        self.begin = max(self.begin, offset)
        keep = bisect_left([batch.last for batch in self.batches], self.begin)
        del self.batches[:keep]
        self._drop_index()
        self._aborted = [one for one in self._aborted if one[0] >= self.begin]
        self.wake()

    def compact(self, now_ms: int, tombstones_ms: int, below: int | None = None) -> int:
        """Removes what a later record of the same key replaces, below `below` and the last stable
        offset; tombstones `tombstones_ms` after the first compaction that met them. Returns how
        many records went.
        """
        # the newest batch is part of a segment that is still open
        limit = min(self.stable, self.batches[-1].base if self.batches else 0)
        limit = limit if below is None else min(below, limit)
        latest = self._latest(limit)
        kept: list[Stored] = []
        gone = 0
        last_of = {batch.by.producer: batch.base for batch in self.batches if batch.ends is None}
        for batch in self.batches:
            if batch.last >= limit:
                kept.append(batch)
                continue
            if batch.ends is not None:
                if batch.ends != COMMIT:  # aborted records are dropped by it
                    kept.append(batch)
                continue
            if batch.cleaned_ms is None:
                batch.cleaned_ms = now_ms
            dead = batch.cleaned_ms + tombstones_ms < now_ms
            entries = [
                replace(entry, delta=offset - batch.base)
                for offset, entry in _placed(batch)
                if entry.key is not None
                and latest.get(entry.key) == offset
                and not (dead and entry.value is None)
            ]
            gone += len(batch.entries) - len(entries)
            if len(entries) == len(batch.entries):
                kept.append(batch)
            elif entries or last_of.get(batch.by.producer) == batch.base:
                kept.append(self._rebuilt(batch, entries))
        self.batches = kept
        self._drop_index()
        return gone

    def _latest(self, limit: int) -> dict[bytes, int]:
        """The offset of the last committed record of each key."""
        found: dict[bytes, int] = {}
        for batch in self.batches:
            if batch.base >= limit:
                break
            if batch.ends is None and not self._is_aborted(batch):
                for offset, entry in _placed(batch):
                    if entry.key is not None:
                        found[entry.key] = offset
        return found

    def _is_aborted(self, batch: Stored) -> bool:
        return batch.by.transactional and any(
            producer == batch.by.producer and first <= batch.base < end
            for end, producer, first in self._aborted
        )

    def _rebuilt(self, batch: Stored, entries: Sequence[Entry]) -> Stored:
        append_ms = batch.stamp_ms if self.stamps else None
        found = stored(entries, batch.base, batch.by, append_ms=append_ms, last=batch.last)
        found.cleaned_ms = batch.cleaned_ms
        return found

    def _check_sequence(self, known: _Producer | None, by: Written) -> None:
        """A producer that a partition does not know may begin with any number."""
        lowest = self._asked[by.producer][1] if by.producer in self._asked else by.sequence
        expected = by.sequence
        if known is not None:
            if by.epoch < known.epoch:
                self._reach("fenced append")
                raise kafka_errors.InvalidProducerEpoch(f"epoch {by.epoch} after {known.epoch}")
            expected = known.next_sequence if by.epoch == known.epoch else 0
        if by.sequence != expected or by.sequence > lowest:
            self._reach("out of order")
            raise kafka_errors.OutOfOrderSequenceNumber(f"{by.sequence} instead of {expected}")

    def _put(self, batch: Stored) -> None:
        self.batches.append(batch)
        self._bases.append(batch.base)
        self.end = batch.last + 1
        self.wake()

    def wake(self) -> None:
        """Lets readers look again."""
        for waiter in [*self.waiters]:
            waiter()

    def _drop_index(self) -> None:
        self._bases = [batch.base for batch in self.batches]


def _placed(batch: Stored) -> list[tuple[int, Entry]]:
    if len(batch.entries) == batch.last - batch.base + 1:
        return [(batch.base + number, entry) for number, entry in enumerate(batch.entries)]
    return [(batch.base + entry.delta, entry) for entry in batch.entries]
