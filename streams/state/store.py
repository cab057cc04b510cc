"""A shard's store: hot table, state store and producer as one unit that steps change."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import polars as pl
from rocksdict import Cache

from schemas.errors import Recoverable
from schemas.segment.codec import decode, decode_together
from schemas.segment.index import SegmentIndex, verified
from schemas.tables.erased import NO_MASK, Mask
from schemas.tables.interaction import COLUMNS, empty
from streams.clock import SYSTEM_RANDOM
from streams.kafka.environment import Environment
from streams.kafka.log import LogWriter, MayFence, Record, RecordGroup, at_once
from streams.kafka.stored_format import STAMP
from streams.kafka.topics import Topics
from streams.log_facts import step_id
from streams.metrics import names
from streams.state import keys
from streams.state.auxiliary_table import AuxiliaryTable
from streams.state.auxiliary_table import decode as decode_auxiliary
from streams.state.changelog import fence, recover
from streams.state.hot_table import HotTable
from streams.state.rocks import StoreClosed, StoreSnapshot
from streams.state.state_store import StateStore

__all__ = ["MaskChanged", "PinnedShard", "Step", "Store", "bounded", "made_ms", "new_id"]

#: Segments for which the local store in a folder was filled anew, in this process.
_REFILLED: dict[Path, set[str]] = {}

T = TypeVar("T")
Put = tuple[bytes, bytes | None]


class MaskChanged(Recoverable):
    """The rows of a step were masked by a mask that is not the present one: mask them again."""


@dataclass
class Step:
    """The contents of one transaction.

    `puts` go to the changelog and, after the commit, to the state store and the hot table; `frames`
    saves decoding deltas that were made here. `appends` go to the archive first; `manifest_of`
    turns their offsets into manifest puts of the same step. `records` and `groups` go to other
    topics, and so does what `records_at_commit` returns: it is called when no other step can come
    in between any more. `mask_version` is the version of the mask that the rows of `puts` have
    passed; None if there are no rows, or none that could have been masked meanwhile.
    """

    puts: list[Put] = field(default_factory=list)
    frames: Mapping[bytes, pl.DataFrame] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    groups: list[RecordGroup] = field(default_factory=list)
    appends: list[Record] = field(default_factory=list)
    manifest_of: Callable[[list[int]], list[Put]] | None = None
    mask_version: int | None = None
    records_at_commit: Callable[[], list[Record]] | None = None


@dataclass(frozen=True)
class PinnedShard:
    """One shard's rows as of one step, without those of erased users. Its methods block: call them
    in threads.

    The deltas have no rows that `mask` hides; segments in `unclean` and runs in `unclean_runs` may.
    """

    segments: Mapping[str, SegmentIndex]
    by_source: Mapping[str, tuple[str, ...]]
    deltas: tuple[pl.DataFrame, ...]
    auxiliary: Mapping[bytes, tuple[pl.DataFrame, ...]]
    runs: Mapping[bytes, tuple[bytes, ...]]
    uniques: Mapping[str, int]
    snapshot: StoreSnapshot
    mask: Mask = NO_MASK
    unclean: frozenset[str] = frozenset()
    unclean_runs: frozenset[bytes] = frozenset()

    def segments_of(self, source: str) -> list[SegmentIndex]:
        """The segments that hold rows of `source`, in the order of their first user."""
        found = [self.segments[segment_id] for segment_id in self.by_source.get(source, ())]
        return sorted(found, key=lambda index: (index.low, index.id))

    def bytes_of(self, index: SegmentIndex) -> bytes:
        """A segment's encoded bytes. Raises `CorruptSegment`."""
        return verified(index, self.snapshot[keys.segment(index.id)])

    def delta_rows(
        self, source: str, columns: Sequence[str] = COLUMNS, where: pl.Expr | None = None
    ) -> pl.DataFrame:
        """The rows of `source` in the deltas for which `where` is true; unordered, not folded."""
        if not self.deltas:
            return empty().select(columns)
        wanted = pl.col("source") == source
        rows = pl.concat(self.deltas).lazy().filter(wanted if where is None else wanted & where)
        return rows.select(columns).collect()

    def segment_rows(
        self,
        index: SegmentIndex,
        source: str,
        columns: Sequence[str],
        where: pl.Expr | None = None,
        *,
        packed: bool = False,
    ) -> pl.DataFrame:
        """One segment's rows of `source`, with these columns, for which `where` is true. With
        `packed`, users of 24 digits may be Binary: their 12 bytes.
        """
        shared = [source] if len(index.sources) > 1 else None
        if index.id not in self.unclean:
            return decode(self.bytes_of(index), shared, columns, where, packed=packed)
        needed = tuple(dict.fromkeys((*columns, "user", "first")))
        rows = decode(self.bytes_of(index), shared, needed, where)
        return self.mask.rows(rows).select(columns)

    def masked(self, index: SegmentIndex, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of a segment without hidden ones. Needs `user` and `first`."""
        return self.mask.rows(rows) if index.id in self.unclean else rows

    def rows_together(
        self, indexes: Sequence[SegmentIndex], source: str, columns: Sequence[str]
    ) -> pl.DataFrame:
        """The rows of `source` of several segments, in any order, with these of the columns
        `TIMELESS`. All of the segments are held in memory meanwhile.
        """
        clean = [index for index in indexes if index.id not in self.unclean]
        rows = decode_together([self.bytes_of(index) for index in clean], source, columns)
        others = (index for index in indexes if index.id in self.unclean)
        return pl.concat([rows, *(self.segment_rows(index, source, columns) for index in others)])

    def auxiliary_rows(self, table: AuxiliaryTable) -> pl.DataFrame:
        """All rows of an auxiliary table, folded."""
        parts = [pl.DataFrame(schema=table.schema), *self.auxiliary.get(table.delta, ())]
        for key in self.runs.get(table.run, ()):
            rows = decode_auxiliary(self.snapshot[key])
            parts.append(table.masked(self.mask, rows) if key in self.unclean_runs else rows)
        return table.fold(pl.concat(parts))


class Store:
    """One shard's durable state; opened by `takeover`, changed by `commit`, read at any time.

    A store belongs to one owner. Only a successful commit proves that this owner is still the
    current one: the broker's transaction coordinator refuses the commit of a fenced producer, and
    every new owner fences before it reads. `doubts` counts the events after which another owner may
    exist; `owned` says whether a commit has succeeded since the last of them.

    No read proves ownership. Up to the last stable offset, the log does not show the fence of a new
    owner whose transaction is open, and it shows nothing behind any open transaction. The high
    watermark moves with all of our own records and markers. Both values come from a partition
    leader that may itself have been replaced while it was suspended.
    """

    def __init__(
        self, environment: Environment, partition: int, folder: Path, cache: Cache
    ) -> None:
        self._environment = environment
        self._changelog = Topics(environment.settings.prefix).changelog
        self._cache = cache
        self._folder = folder
        self.partition = partition
        self.table = HotTable()
        self.steps = 0
        self.last_step = ""
        """The name of the last step: where its last record is in the changelog."""
        #: When the changelog was last written to, by the clock's monotonic seconds.
        self.written_at = 0.0
        #: Told of every step just before the table changes: for indexes beside it.
        self.follow: Callable[[Sequence[Put], HotTable], None] | None = None
        self.doubts: Callable[[], int] = lambda: 0
        self.may_fence: MayFence = at_once
        self._owner = environment.new_id()
        self._proven = -1
        self._state_store: StateStore | None = None
        self._closed = False
        self._writer: LogWriter | None = None
        self._lock = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._applying: asyncio.Future[None] | None = None

    async def takeover(self) -> None:
        """Fences the former owner, once `may_fence` returns, and recovers. Raises as
        `changelog.recover` does.
        """
        environment = self._environment
        self._state_store = await asyncio.to_thread(
            StateStore, self._folder, self._cache, environment.clock
        )
        name = f"{environment.settings.prefix}shard-{self.partition}"
        self._writer = environment.kafka.writer(name)
        await self.may_fence()
        doubts = self.doubts()
        await self._writer.start()
        self.table, _ = await recover(
            environment, self.partition, self._writer, self._state_store, self._owner
        )
        self._proven = doubts
        self.written_at = self._environment.clock.monotonic_s()

    @property
    def owned(self) -> bool:
        """Whether a commit since the last doubt has proven that there is no newer owner."""
        return self._proven == self.doubts()

    async def prove(self) -> None:
        """Proves ownership by a step of its own, unless another step has succeeded meanwhile.

        Raises `Fenced` if there is a newer owner, `StepFailed` if the outcome is unknown.
        """
        async with self._lock:
            if not self.owned:
                await self._commit(
                    Step(records=[fence(self._environment.settings, self.partition, self._owner)])
                )

    async def close(self) -> None:
        """Releases broker connections and local store; committed data stays."""
        if self._writer is not None:
            await self._writer.close()
        if self._applying is not None:
            await asyncio.wait([self._applying])
        if self._state_store is not None:
            state_store, self._state_store = self._state_store, None
            self._closed = True
            await asyncio.to_thread(state_store.close)

    @property
    def state_store(self) -> StateStore:
        """The open state store. Raises `StoreClosed` after `close`: a read may begin while its
        shard ends; and `RuntimeError` before `takeover`.
        """
        if self._closed:
            raise StoreClosed(self._folder)
        if self._state_store is None:
            raise RuntimeError("the store is not open")
        return self._state_store

    async def commit(self, step: Step) -> None:
        """Commits a step and applies it. Raises `Fenced` or `StepFailed`: then the shard needs a
        new takeover; and `MaskChanged`: then nothing was written.
        """
        async with self._lock:
            await self._commit(step)

    async def _commit(self, step: Step) -> None:
        if self._writer is None:
            raise RuntimeError("the store is not open")
        if step.mask_version not in (None, self.table.mask.version):
            raise MaskChanged(f"shard {self.partition} has erased users meanwhile")
        records = [*step.records, *(step.records_at_commit() if step.records_at_commit else ())]
        manifest: list[Put] = []
        doubts = self._proven

        def chain(offsets: list[int]) -> list[Record]:
            manifest.extend(step.manifest_of(offsets) if step.manifest_of is not None else ())
            return [self._entry(put) for put in manifest]

        def ending() -> None:
            nonlocal doubts
            doubts = self.doubts()

        entries = [self._entry(put) for put in step.puts]
        began = self._environment.clock.monotonic_s(), self._environment.clock.now_ms()
        offsets = await self._writer.commit(
            [*entries, *records],
            groups=step.groups,
            first=step.appends,
            then=chain,
            ending=ending,
        )
        self._proven = doubts
        self._measure(*began, self._writer.appended_ms)
        written = offsets[: len(entries)] + offsets[len(entries) + len(records) :]
        if written:
            self.last_step = step_id(self._changelog, self.partition, max(written))
        # From here on the step has happened: it must be applied whole, cancelled or not.
        self._applying = asyncio.ensure_future(
            self._apply([*step.puts, *manifest], step.frames, written, self._writer.appended_ms)
        )
        await asyncio.shield(self._applying)
        self.steps += 1

    def _measure(self, began_s: float, began_ms: int, appended_ms: int | None) -> None:
        """Note how long a transaction took, and how far the broker's clock is from ours."""
        environment = self._environment
        meters, ended_ms = environment.meters, environment.clock.now_ms()
        meters.observe(names.COMMIT_TIME, environment.clock.monotonic_s() - began_s)
        if appended_ms is not None:
            skew_ms = max(0, appended_ms - ended_ms) - max(0, began_ms - appended_ms)
            meters.put(names.CLOCK_SKEW, skew_ms / 1000)

    async def _apply(
        self,
        puts: list[Put],
        frames: Mapping[bytes, pl.DataFrame],
        written: Sequence[int],
        stamp_ms: int | None,
    ) -> None:
        async with self._changing:
            if written:
                await asyncio.to_thread(self.state_store.apply, puts, max(written) + 1, stamp_ms)
                self.written_at = self._environment.clock.monotonic_s()
            if self.follow is not None:
                self.follow(puts, self.table)
            self.table.apply(puts, frames)

    async def pin(self) -> "PinnedShard":
        """A consistent view of the store after some step; later steps do not change it.

        Waits while a step is applied to the state store and not yet to the table, a few
        milliseconds.
        """
        async with self._changing:
            table, layout = self.table, self.table.layout()
            return PinnedShard(
                segments=layout.segments,
                by_source=layout.by_source,
                deltas=table.deltas.frames(),
                auxiliary={
                    letter: tuple(found.values()) for letter, found in table.auxiliary.items()
                },
                runs={letter: tuple(sorted(found)) for letter, found in table.runs.items()},
                uniques=dict(table.uniques),
                snapshot=self.state_store.snapshot(),
                mask=table.mask,
                unclean=frozenset(table.unclean),
                unclean_runs=frozenset(table.unclean_runs),
            )

    def _entry(self, put: Put) -> Record:
        return Record(self._changelog, put[0], put[1], self.partition, STAMP)

    async def read(self, index: SegmentIndex, source: str | None = None) -> pl.DataFrame:
        """A segment's rows, of erased users too; with a source, only the rows of that source."""
        return await asyncio.to_thread(self._decode, index, source)

    def _decode(self, index: SegmentIndex, source: str | None) -> pl.DataFrame:
        data = self.bytes_of(index)
        shared = source is not None and len(index.sources) > 1
        return decode(data, [source] if shared and source is not None else None)

    def bytes_of(self, index: SegmentIndex) -> bytes:
        """A segment's encoded bytes. Raises `KeyError` if the segment is not in the hot table, and
        `CorruptSegment`.
        """
        data = self.state_store.get(keys.segment(index.id))
        if data is None and index.id not in self.table.segments:
            raise KeyError(index.id)
        return verified(index, data or b"")

    def refill_once(self, segment: str) -> None:
        """Have the local store filled anew, because the bytes of a segment are wrong there: raises
        `StoreDamaged`. Returns if that was done before for this segment: its record in the
        changelog has the wrong bytes.
        """
        known = _REFILLED.setdefault(self._folder, set())
        if segment not in known:
            known.add(segment)
            self.state_store.condemn(f"segment {segment} has other bytes than its index says")


def new_id(now_ms: int, random: Random = SYSTEM_RANDOM) -> str:
    """A segment id of 24 hex digits: its creation time in milliseconds, and random digits."""
    return f"{now_ms:012x}{random.getrandbits(48):012x}"


def made_ms(segment_id: str) -> int:
    """When a segment was made, in UTC milliseconds."""
    return int(segment_id[:12], 16)


def bounded(items: Iterable[T], weigh: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Groups of items with at most `limit` in total; an item heavier than the limit forms its own
    group.
    """
    group: list[T] = []
    weight = 0
    for item in items:
        heavy = weigh(item)
        if group and weight + heavy > limit:
            yield group
            group, weight = [], 0
        group.append(item)
        weight += heavy
    if group:
        yield group
