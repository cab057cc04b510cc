"""The requests of a fetcher, and the evaluation of the answers: pure.

No task, no wait, no clock: the caller passes the time, and names the broker of each answer. Only
this module moves positions, when answers are handed over.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import errors as kafka_errors

from schemas.decode.batch import RecordBatch, SealedBatch
from streams.kafka.log import LostRange, Partition

__all__ = ["FetchProtocol", "FetchQuestion", "FetchResponse", "PartitionAnswer", "PartitionBytes"]

LINGER_BYTES = 1_000_000
#: The least that is asked for, however much records grow: a broker sends a whole batch anyway.
LEAST_BYTES = 16_000
#: The first answer is small and the next ones twice as large each, so that work on the first
#: begins while the others are under way.
FIRST_BYTES = 1_000_000
#: Unknown topic id, inconsistent topic id.
_OTHER_TOPIC = frozenset({100, 103})


@dataclass(frozen=True, slots=True)
class FetchQuestion:
    """One request to one broker: from `positions` on, at most `most_each` bytes of each partition
    and `most` bytes in total. The broker answers when it has `least` bytes, or after `wait_ms`.
    """

    positions: Mapping[Partition, int]
    wait_ms: int
    least: int
    most: int
    most_each: int

    def topics(self) -> list[tuple[str, list[tuple[int, int, int]]]]:
        """`(topic, [(number, offset, bytes)])`, in the order of the positions."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for (topic, number), offset in self.positions.items():
            found.setdefault(topic, []).append((number, offset, self.most_each))
        return list(found.items())


@dataclass(frozen=True, slots=True)
class PartitionBytes:
    """The bytes of one partition in a response: batches, and `(producer id, first offset)` of the
    aborted transactions among them.
    """

    partition: Partition
    asked_from: int
    data: bytes
    aborted: Sequence[tuple[int, int]]


@dataclass(slots=True)
class FetchResponse:
    """One response: the bytes by partition, the refusals with their reasons, and the lost range, if
    any; partitions after a lost range are not evaluated.
    """

    sent: list[PartitionBytes] = field(default_factory=list)
    refused: list[tuple[Partition, str]] = field(default_factory=list)
    #: Of what is refused, where the leader knows no topic of this id.
    other: list[Partition] = field(default_factory=list)
    lost: LostRange | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class PartitionAnswer:
    """The answer to one request for one partition: the position of the request, whole batches, and
    the offset after the last batch that was looked at.
    """

    partition: Partition
    asked_from: int
    batches: list[SealedBatch]
    following: int


class FetchProtocol:
    """Positions of some partitions, and the known ends of their logs.

    `cursor`, `ends`, bytes and `linger_ms` as in `log.Log.reader`.
    """

    def __init__(
        self,
        cursor: Mapping[Partition, int],
        *,
        ends: Mapping[Partition, int] | None = None,
        bytes_per_fetch: int,
        bytes_per_partition: int,
        linger_ms: int = 0,
    ) -> None:
        self.positions = dict(cursor)
        #: Until when a partition that was refused is left alone, on the asker's clock.
        self.resting: dict[Partition, float] = {}
        #: High watermarks, and how much of each lies behind an open transaction.
        self._ends: dict[Partition, int] = dict(ends or {})
        self._held_back: dict[Partition, int] = {}
        #: Of what nothing was heard since the last trouble, and what of it has no leader.
        self._unanswered = set(self.positions)
        self._leaderless: set[Partition] = set()
        self._bytes = bytes_per_fetch
        self._reach = min(FIRST_BYTES, bytes_per_fetch)
        self._partition_bytes = min(bytes_per_partition, bytes_per_fetch)
        #: Decompressed bytes for each fetched byte, recently.
        self._growth = 1.0
        self._linger_ms = linger_ms
        self._busy = False

    def lag(self, cursor: Mapping[Partition, int]) -> dict[Partition, int]:
        """As `log.LogReader.lag`."""
        return {
            partition: max(
                int(partition in self._unanswered), self._ends.get(partition, 0) - offset
            )
            for partition, offset in cursor.items()
        }

    def held_back(self) -> dict[Partition, int]:
        """As `log.LogReader.held_back`."""
        return {partition: count for partition, count in self._held_back.items() if count}

    def led(self, led: Collection[Partition]) -> tuple[set[Partition], set[Partition]]:
        """Records which partitions have a leader: partitions that lost theirs, and partitions that
        have one again.
        """
        leaderless = self.positions.keys() - led
        gone, back = leaderless - self._leaderless, self._leaderless - leaderless
        self._leaderless = leaderless
        self._unanswered |= leaderless
        return gone, back

    @property
    def leaderless(self) -> bool:
        """Whether a partition has no leader."""
        return bool(self._leaderless)

    def awake(self, now: float) -> None:
        """Ends the pause of partitions whose pause is over."""
        self.resting = {one: until for one, until in self.resting.items() if until > now}

    def rest(self, partitions: Iterable[Partition], until: float) -> None:
        """Makes no requests for these partitions for a while."""
        self.resting |= dict.fromkeys(partitions, until)

    def ask(self, wanted: Sequence[Partition], share: int, max_wait_ms: int) -> FetchQuestion:
        """The request for these partitions of one leader; `share` is the number of leaders asked at
        a time.

        A broker fills its response in the order of the partitions.
        """
        most = max(LEAST_BYTES, int(self._reach // share / self._growth))
        wait, least = max_wait_ms, 1
        if self._busy and self._linger_ms:
            wait, least = min(max_wait_ms, self._linger_ms), LINGER_BYTES
        if not self._unanswered.isdisjoint(wanted):
            wait = 0  # where a log ends is not known: an answer without records tells it
        positions = {one: self.positions[one] for one in wanted}
        return FetchQuestion(positions, wait, least, most, min(self._partition_bytes, most))

    def silent(self, question: FetchQuestion, *, timed_out: bool) -> None:
        """There was no answer."""
        self._unanswered.update(question.positions)
        if timed_out:
            # or a slow line would never bring one whole answer
            self._reach = max(min(LEAST_BYTES, self._bytes), self._reach // 2)

    def heard(self, question: FetchQuestion, response: Any) -> FetchResponse:
        """Judges a response of the fetch API, from version 4 on."""
        found = FetchResponse()
        for topic, partitions in response.topics:
            for number, code, high, *rest in partitions:
                partition, data = (topic, number), rest[-1] or b""
                found.size += len(data)
                if found.lost is not None:
                    continue
                asked_from = question.positions[partition]
                if code:
                    self._unanswered.add(partition)
                    self._refused(found, partition, asked_from, code)
                    continue
                self._unanswered.discard(partition)
                # A new leader may not know for a moment what its predecessor acknowledged: a log
                # that was longer is not read to its end.
                self._ends[partition] = max(high, self._ends.get(partition, 0))
                self._held_back[partition] = max(0, high - rest[0]) if rest[0] >= 0 else 0
                aborted = rest[2] if response.API_VERSION >= 11 else rest[-2]
                found.sent.append(PartitionBytes(partition, asked_from, data, aborted or ()))
        return found

    def _refused(
        self, found: FetchResponse, partition: Partition, asked_from: int, code: int
    ) -> None:
        if code in _OTHER_TOPIC:
            found.other.append(partition)
            found.refused.append((partition, "the leader knows no topic with the id it had"))
            return
        error = kafka_errors.for_code(code)
        if error is not kafka_errors.OffsetOutOfRangeError:
            found.refused.append((partition, error.__name__))
        elif self.positions.get(partition) == asked_from:  # it was not moved since
            found.lost = LostRange(partition, asked_from)

    def hand_over(self, answers: Iterable[PartitionAnswer]) -> list[SealedBatch]:
        """Moves positions past the answers and returns their batches. An answer is discarded if a
        seek has moved the position since the request.
        """
        batches: list[SealedBatch] = []
        for answer in answers:
            if self.positions.get(answer.partition) == answer.asked_from:
                self.positions[answer.partition] = answer.following
                batches += answer.batches
        self._busy = bool(batches)
        if batches:
            self._reach = min(2 * self._reach, self._bytes)
        return batches

    def learn_growth(self, batches: Sequence[RecordBatch]) -> None:
        """Learns the ratio of decompressed to fetched bytes, batch headers included."""
        fetched = sum(len(batch.wire) for batch in batches)
        if fetched:
            growth = sum(len(batch.payload) for batch in batches) / fetched
            # at once upwards, slowly down again: too little asked for costs less than too much
            self._growth = max(1.0, growth, (3 * self._growth + growth) / 4)
