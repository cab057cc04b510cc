"""Totals: what `lifecycle.expired`, `lifecycle.restored` and `lifecycle.state` say of a source, and
the manifest entries of all shards.

An entry's epoch is that of the source when the segment was archived, and the event of an expiry has
the next one. So the entries with a lower epoch than an event are exactly those that it counted,
whenever the event is compared: later ones are of late events, or of a later expiry.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.coordinator.rules.state import Totals
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.shard_image import ShardImage
from schemas.records.lifecycle import SourceState, State
from schemas.segment.set_checksum import set_checksum
from streams.kafka.topic_specs import Topics

__all__ = ["LifecycleEvent", "TotalsCheck"]

_NONE = Totals()


@dataclass(frozen=True, slots=True)
class LifecycleEvent:
    """A record of `lifecycle.expired` or `lifecycle.restored`."""

    topic: str
    offset: int
    record: Mapping[str, Any]

    @property
    def source(self) -> str:
        """The source that it is about."""
        return str(self.record["source"])

    @property
    def epoch(self) -> int:
        """The source's epoch after the expiry."""
        return int(self.record["epoch"])

    @property
    def totals(self) -> Totals:
        """What it counts, without late interactions."""
        names = ("interactions", "bytes", "segments")
        checksum = str(self.record.get("checksum") or "")
        return Totals(**{name: int(self.record[name]) for name in names}, checksum=checksum)


@dataclass
class TotalsCheck:
    """Sums of the manifest entries of all shards, by source and epoch; `add` each shard.

    Once users were erased, the archive has less than was counted: then the sums may only be less.
    """

    topics: Topics
    erased: bool = False
    _sums: dict[str, dict[int, Totals]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, image: ShardImage) -> None:
        """Add one shard's entries."""
        self.erased = self.erased or image.erasure_marks is not None
        for source, entries in image.by_source().items():
            epochs: dict[int, list[tuple[str, Any]]] = {}
            for segment, entry in entries.items():
                epochs.setdefault(entry.epoch, []).append((segment, entry))
            for epoch, some in epochs.items():
                own = Totals(
                    interactions=sum(entry.rows for _, entry in some),
                    bytes=sum(entry.bytes for _, entry in some),
                    segments=len(some),
                    checksum=set_checksum((name, entry.checksum) for name, entry in some),
                )
                sums = self._sums[source]
                sums[epoch] = Totals.sum((sums.get(epoch, _NONE), own))

    def expired(self, events: Iterable[LifecycleEvent]) -> Iterator[Finding]:
        """Each event of an expiry counts the entries with a lower epoch."""
        for event in events:
            held = self._below(event.source, event.epoch)
            if wrong := self._equal(event.totals, held):
                yield found(FindingKind.EXPIRED_TOTALS, _at(event), wrong)

    def restored(self, events: Iterable[LifecycleEvent]) -> Iterator[Finding]:
        """Each event of a restore counts at least those, and none of a higher epoch."""
        for event in events:
            least = self._below(event.source, event.epoch)
            most = self._below(event.source, event.epoch + 1)
            if wrong := self._between(event.totals, least, most):
                yield found(FindingKind.RESTORED_TOTALS, _at(event), wrong)

    def states(
        self, records: Iterable[SourceState], offsets: Mapping[str, int]
    ) -> Iterator[Finding]:
        """Records of sources that did not change while the shards were read.

        A visible source counts all entries; an expired one may have got late segments since.
        """
        for record in records:
            said = Totals(
                interactions=record.interactions,
                bytes=record.bytes,
                segments=record.segments,
                checksum=record.checksum or "",
            )
            everything = self._below(record.source, None)
            if record.state is State.EXPIRED:
                least = self._below(record.source, record.epoch)
                wrong = self._between(said, least, everything)
            elif record.hidden:
                continue
            else:
                wrong = self._equal(said, everything)
            if wrong:
                offset = offsets.get(record.source)
                where = Where(self.topics.state, 0, offset, record.source)
                yield found(FindingKind.STATE_TOTALS, where, wrong)

    def announced(
        self,
        records: Iterable[SourceState],
        events: Collection[LifecycleEvent],
        since_ms: int | None,
    ) -> Iterator[Finding]:
        """The last expiry of each source has an event, if it was not before `since_ms`, the time
        of the oldest event that is kept; None: all events are kept.
        """
        told = {(event.source, event.epoch) for event in events}
        for record in records:
            kept = since_ms is None or (record.expired_at or 0) > since_ms
            if record.epoch and kept and (record.source, record.epoch) not in told:
                where = Where(self.topics.expired, 0, source=record.source)
                what = f"the expiry of epoch {record.epoch} has no event"
                yield found(FindingKind.EVENT_MISSING, where, what)

    def _equal(self, said: Totals, held: Totals) -> str:
        return _more(said, held) if self.erased else _differences(said, held)

    def _between(self, said: Totals, least: Totals, most: Totals) -> str:
        return _more(said, least) if self.erased else _outside(said, least, most)

    def _below(self, source: str, epoch: int | None) -> Totals:
        sums = self._sums.get(source, {})
        return Totals.sum([one for at, one in sums.items() if epoch is None or at < epoch])


def _differences(said: Totals, held: Totals) -> str:
    pairs = (
        ("interactions", said.interactions, held.interactions),
        ("bytes", said.bytes, held.bytes),
        ("segments", said.segments, held.segments),
    )
    wrong = [
        f"{name} {one}, the manifest has {other}" for name, one, other in pairs if one != other
    ]
    if not wrong and _sum_of(said) != _sum_of(held):
        wrong.append(f"checksum {said.checksum}, the manifest has {held.checksum}")
    return "; ".join(wrong)


def _more(said: Totals, held: Totals) -> str:
    """Where more is held than was counted."""
    if held.interactions <= said.interactions:
        return ""
    return f"interactions {said.interactions}, the manifest has {held.interactions}"


def _outside(said: Totals, least: Totals, most: Totals) -> str:
    """Where the totals do not lie between two others; those of as many segments are equal."""
    for bound in (least, most):
        if said.segments == bound.segments:
            return _differences(said, bound)
    return "; ".join(
        f"{name} {one}, the manifest has {low} to {high}"
        for name, one, low, high in (
            ("interactions", said.interactions, least.interactions, most.interactions),
            ("bytes", said.bytes, least.bytes, most.bytes),
            ("segments", said.segments, least.segments, most.segments),
        )
        if not low <= one <= high
    )


def _sum_of(totals: Totals) -> int:
    return int(totals.checksum or "0", 16)


def _at(event: LifecycleEvent) -> Where:
    return Where(event.topic, 0, event.offset, event.source)
