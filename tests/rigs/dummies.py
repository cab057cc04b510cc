"""Shards and states without Kafka, for tests of the code around them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict

import polars as pl

from agents.filters.plan_nodes import FilterPlan
from agents.names.index import NameIndex
from agents.shard.analytics import Figures
from agents.shard.audience_part import NO_MEMBERS, AudiencePart, Members
from agents.shard.merge_list import Merges
from agents.shard.phase import ShardPhase
from agents.shard.source_sizes import OUTLINE
from agents.supervision.shard_manager import NotHeld, ShardStatus, SourceSize
from agents.users.facts import ArchivedUser, UserFacts, UsersRead
from agents.users.person import Match
from agents.views.offsets import since
from schemas.records.lifecycle import SourceState
from schemas.tables.interaction import SCHEMA
from schemas.tables.roster import ROSTER_SCHEMA, Alias


class States:
    """`lifecycle.state` as a test wants it."""

    def __init__(self, *records: SourceState) -> None:
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.records = {record.source: record for record in records}
        self.written = dict.fromkeys(self.records, 0)
        self.position = 1
        self.silent_s: Callable[[], float] = lambda: 0.0

    def get(self, source: str) -> SourceState | None:
        return self.records.get(source)

    def put(self, *records: SourceState) -> None:
        """Records that are written now, at one offset."""
        for record in records:
            self.records[record.source] = record
            self.written.pop(record.source, None)
            self.written[record.source] = self.position
        self.position += 1

    def counts(self) -> dict[str, int]:
        return Counter(record.state.value for record in self.records.values())

    def stuck(self) -> dict[str, int]:
        return {one.source: one.updated_at for one in self.records.values() if one.stuck}

    def failed(self) -> set[str]:
        return {one.source for one in self.records.values() if one.failure is not None}

    def changed_since(self, offset: int) -> Iterator[str]:
        return since(self.written, offset)

    def __iter__(self) -> Iterator[SourceState]:
        return iter(list(self.records.values()))

    @property
    def names(self) -> NameIndex:
        return NameIndex(self.records.values())


class Open:
    """A gate that is never shut."""

    async def passed(self) -> None: ...


class DummyShard:
    """Runs until cancelled, or until `ends` has an error to raise."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.ready = False
        self.ends: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self.offered: asyncio.Queue[object] = asyncio.Queue()
        self.versions: dict[str, int] = {}
        self.frames: list[pl.DataFrame] = []
        self.breaks: BaseException | None = None
        self.opened = self.closed = 0
        self.cursor: dict[str, int] = {}
        self.lag: dict[str, int] = {}
        self.plans: list[FilterPlan] = []
        self.figures = Figures([], [])
        self.held: dict[str, SourceSize] = {}
        self.sized: list[tuple[str, ...]] = []
        self.roster = pl.DataFrame(schema=ROSTER_SCHEMA)
        self.merged = Merges()

    @property
    def status(self) -> ShardStatus:
        rows = sum(map(len, self.frames))
        return ShardStatus(phase=ShardPhase.RUNNING, cursor=self.cursor, lag=self.lag, rows=rows)

    async def run(self) -> None:
        self.ready = True
        try:
            raise await asyncio.shield(self.ends)
        finally:
            self.ready = False

    async def read(self, source: str, version: int | None) -> AsyncIterator[pl.DataFrame]:
        if not self.ready or self.versions.get(source) != version:
            raise NotHeld(f"shard {self.partition}: not {version}")
        self.opened += 1
        try:
            for frame in self.frames:
                yield frame
            if self.breaks is not None:
                raise self.breaks
        finally:
            self.closed += 1

    async def merges(self, known: str) -> Merges | None:
        if not self.ready:
            raise NotHeld(f"shard {self.partition}: not ready")
        return None if known == self.merged.version else self.merged

    async def audience(
        self, plan: FilterPlan, members: Members = NO_MEMBERS
    ) -> AsyncGenerator[AudiencePart, None]:
        held = all(self.versions.get(source) == version for source, version in plan.pins.items())
        if not self.ready or not held:
            raise NotHeld(f"shard {self.partition}: not {plan.pins}")
        return self._users(plan)

    async def _users(self, plan: FilterPlan) -> AsyncGenerator[AudiencePart, None]:
        self.opened += 1
        self.plans.append(plan)
        try:
            for frame in self.frames:
                yield AudiencePart(frame["user"].sort())
            if self.breaks is not None:
                raise self.breaks
        finally:
            self.closed += 1

    async def users(self, users: Sequence[str]) -> UsersRead:
        if not self.ready:
            raise NotHeld(f"shard {self.partition} is not ready")
        nobody = pl.DataFrame(schema=SCHEMA)
        return UsersRead({user: UserFacts(user, None, nobody, {}, 0) for user in users})

    async def archived_user(self, user: str) -> ArchivedUser:
        if not self.ready:
            raise NotHeld(f"shard {self.partition} is not ready")
        frames = [frame.filter(pl.col("user") == user) for frame in self.frames]
        rows = pl.concat([pl.DataFrame(schema=SCHEMA), *frames])
        damaged = (("campaign:old", "archive[0]@7: segment x: it is gone"),)
        return ArchivedUser(rows, ("campaign:old",), len(frames), 1_000, damaged)

    async def find_users(self, externals: Sequence[str], aliases: Sequence[Alias]) -> list[Match]:
        return []

    async def identify(self, users: pl.Series) -> pl.DataFrame:
        return self.roster.filter(pl.col("user").is_in(users.implode()))

    async def sizes(self, sources: Sequence[str]) -> Mapping[str, SourceSize]:
        self.sized.append(tuple(sources))
        rows = sum(map(len, self.frames))
        size = SourceSize(rows=rows, bytes=10, segments=1, last_day=20_370)
        found = {source: size for source in self.versions if source in sources}
        return found | {one: self.held[one] for one in sources if one in self.held}

    async def outline(self) -> pl.DataFrame:
        found = await self.sizes([*self.versions, *self.held])
        self.sized.pop()
        rows = [{"source": source, **asdict(size)} for source, size in found.items()]
        return pl.DataFrame(rows, schema=dict(OUTLINE))

    async def analytics(self, source: str) -> Figures:
        if not self.ready:
            raise NotHeld(f"shard {self.partition} is not ready")
        return self.figures

    async def offer(self, fetched: object) -> None:
        self.offered.put_nowait(fetched)


def rows(source: str, *users: str) -> pl.DataFrame:
    """One interaction a user."""
    return pl.DataFrame(
        [
            {"source": source, "user": user, "kind": "received", "channel": "EMAIL",
             "step": None, "variation": "v", "detail": None, "first": 1, "last": 2}
            for user in users
        ],
        schema=SCHEMA,
    )  # fmt: skip


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition that has no signal; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it is nobody's to signal
            await asyncio.sleep(0.02)
