"""The slices of a pinned shard together give the same result as the whole shard."""

from pathlib import Path
from random import Random
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.filters.combining import matching
from agents.filters.evaluation import Look, evaluate, examine
from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.shard import slices
from agents.shard.slices import Slice
from agents.shard.user_list import UserList
from schemas.segment.codec import decode, encode
from schemas.segment.index import SegmentIndex, build
from schemas.segment.order import in_order
from schemas.tables.erased import NO_MASK
from schemas.tables.fold import fold
from schemas.tables.interaction import SCHEMA, empty
from schemas.tables.profile import wide
from schemas.tables.roster import roster_rows
from streams.state.auxiliary_table import ROSTER, AuxiliaryTable
from streams.state.rocks import StoreDamaged
from streams.state.store import PinnedShard

A, B = "campaign:a", "campaign:b"
WORLD = FixedPlanFacts(sources={A: SourceView(), B: SourceView()})
FILTERS: list[Any] = [
    {"filter": "received_from_campaign", "campaign": "a"},
    {"filter": "received_from_campaign", "campaign": "a", "has": False},
    {"filter": "never_received"},
    {"filter": "clicked_alias_in_any", "alias": "home"},
    {
        "and": [
            {"not": {"filter": "received_from_campaign", "campaign": "b"}},
            {"filter": "last_received_any", "after": "1970-01-01T00:00:00Z"},
        ]
    },
]


class Made:
    """A pinned shard without a store: what `Slice` and `UserList` read of `Pinned`."""

    def __init__(self, random: Random, users: int, rows: int) -> None:
        self.names = [f"{n:04d}" for n in range(users)]
        if random.random() < 0.7:
            self.names = [f"{random.getrandbits(96):024x}" for _ in range(users)]
        if random.random() < 0.2:
            self.names[random.randrange(users)] = random.choice(("A" * 24, "0" * 23, "somebody"))
        self.segments: dict[str, SegmentIndex] = {}
        self.data: dict[str, bytes] = {}
        self.decoded: list[tuple[str, str]] = []
        self.deltas: tuple[pl.DataFrame, ...] = ()
        self.by_source: dict[str, tuple[str, ...]] = {}
        self.auxiliary: dict[bytes, tuple[pl.DataFrame, ...]] = {}
        self.runs: dict[bytes, tuple[bytes, ...]] = {}
        self.mask = NO_MASK
        for _ in range(random.randint(0, 5)):
            self.flush(self._rows(random, random.randint(1, rows)), random)
        self.deltas = tuple(self._rows(random, random.randint(1, rows)) for _ in range(2))
        said: list[Any] = [
            (random.choice(self.names), random.choice(({}, None))) for _ in range(users // 3)
        ]
        told = roster_rows(said, 0)
        self.auxiliary[ROSTER.delta] = (told,)

    def _rows(self, random: Random, rows: int) -> pl.DataFrame:
        made = [
            (
                random.choice((A, B)), random.choice(self.names),
                random.choice(("received", "clicked", "opened")), "EMAIL", None, None,
                random.choice((None, "home")), time, time,
            )
            for time in (random.randint(0, 99) for _ in range(rows))
        ]  # fmt: skip
        return fold(pl.DataFrame(made, SCHEMA, orient="row"))

    def flush(self, rows: pl.DataFrame, random: Random) -> None:
        """As a flush does: with profile-wide rows, cut anywhere."""
        everything = in_order(pl.concat([rows, wide(rows)]))
        at = 0
        while at < everything.height:
            part = everything.slice(at, random.randint(1, everything.height))
            at += part.height
            name = f"{len(self.segments):08d}"
            self.data[name] = encode(part)
            self.segments[name] = index = build(name, 0, part, self.data[name])
            for source in index.sources:
                self.by_source[source] = (*self.by_source.get(source, ()), name)

    def segments_of(self, source: str) -> list[SegmentIndex]:
        found = [self.segments[name] for name in self.by_source.get(source, ())]
        return sorted(found, key=lambda index: (index.low, index.id))

    def segment_rows(
        self,
        index: SegmentIndex,
        source: str,
        columns: Any,
        where: pl.Expr | None = None,
        *,
        packed: bool = False,
    ) -> pl.DataFrame:
        self.decoded.append((index.id, source))
        return decode(self.data[index.id], [source], columns, where, packed=packed)

    def delta_rows(self, source: str, columns: Any, where: pl.Expr) -> pl.DataFrame:
        rows = pl.concat([empty(), *self.deltas])
        return rows.filter(pl.col("source") == source, where).select(columns)

    def auxiliary_rows(self, table: AuxiliaryTable) -> pl.DataFrame:
        return table.fold(pl.concat([pl.DataFrame(schema=table.schema),
                                     *self.auxiliary.get(table.delta, ())]))  # fmt: skip

    def whole(self) -> pl.DataFrame:
        parts = [decode(data) for data in self.data.values()]
        return pl.concat([*parts, *self.deltas])

    def live(self) -> set[str]:
        said = self.auxiliary_rows(ROSTER)
        gone = set(said.filter("deleted")["user"])
        return (set(self.whole()["user"]) | set(said["user"])) - gone


@given(
    random=st.randoms(use_true_random=False),
    users=st.integers(1, 60),
    rows=st.integers(1, 80),
    first=st.integers(1, 20),
    asked=st.sampled_from(FILTERS),
)
@settings(deadline=None, max_examples=80)
def test_slices_add_up(random: Random, users: int, rows: int, first: int, asked: Any) -> None:
    made = Made(random, users, rows)
    pinned = cast(PinnedShard, made)
    found = plan(parse(asked), WORLD, now_ms=0)
    assert isinstance(found, FilterPlan)
    everybody = UserList().of(pinned)
    made.decoded.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "FIRST", first)
        patch.setattr(slices, "MOST", 2 * first)
        parts = list(slices.slices(pinned, everybody))
        matches = [user for part in parts for user in evaluate(found, part)]
    assert matches == sorted(set(matches))
    assert len(made.decoded) == len(set(made.decoded)), "whatever the slices, decoded once"
    rosters = [user for part in parts for user in part.roster().texts()]
    assert rosters == sorted(made.live())
    whole = Slice(pinned, slices.Fresh(pinned, everybody), everybody)
    assert matches == evaluate(found, whole).to_list()
    if asked is FILTERS[0]:
        received = made.whole().filter((pl.col("source") == A) & (pl.col("kind") == "received"))
        assert set(matches) == set(received["user"]) & made.live()


@given(
    random=st.randoms(use_true_random=False),
    users=st.integers(1, 60),
    rows=st.integers(1, 80),
    first=st.integers(1, 20),
    asked=st.sampled_from(FILTERS),
)
@settings(deadline=None, max_examples=80)
def test_what_slices_find_about_members_says_whether_they_match(
    random: Random, users: int, rows: int, first: int, asked: Any
) -> None:
    """Each member is a person alone: then the answer is that without members."""
    pinned = cast(PinnedShard, Made(random, users, rows))
    found = plan(parse(asked), WORLD, now_ms=0)
    assert isinstance(found, FilterPlan)
    everybody = UserList().of(pinned)
    matches = evaluate(found, Slice(pinned, slices.Fresh(pinned, everybody), everybody)).to_list()
    known = everybody.between(None, None).texts().to_list()
    some = random.sample(known, random.randint(0, len(known)))
    named = pl.Series("user", sorted({*some, "f" * 24, "nobody"}), dtype=pl.String)
    members = everybody.members(named)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "FIRST", first)
        patch.setattr(slices, "MOST", 2 * first)
        looks = random.choice(((Look.ALL,), (Look.MEMBERS, Look.OTHERS)))
        parts = [
            examine(found, part, part.among(members), look)
            for look in looks
            for part in slices.slices(pinned, everybody)
        ]
    others = [user for part, _ in parts for user in part]
    assert others == [user for user in matches if user not in some]
    findings = pl.concat([each for _, each in parts]).join(
        named.to_frame().with_row_index("at").with_columns(person="user"), on="at"
    )
    assert matching(found, findings).to_list() == [user for user in matches if user in some]


@given(random=st.randoms(use_true_random=False), steps=st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_the_roll_is_that_of_each_moment(random: Random, steps: int) -> None:
    made, user_list, sequence = Made(random, 40, 30), UserList(), 1000
    for _ in range(steps):
        everybody = user_list.of(cast(PinnedShard, made))
        before = everybody.between(None, None).texts().to_list()
        assert before == sorted(made.live())
        if random.random() < 0.5:
            made.flush(fold(pl.concat(made.deltas)), random)
            made.deltas = ()
        made.deltas = (*made.deltas, made._rows(random, 5))
        record = random.choice(({}, {"merged_into": "0001"}, None))
        sequence += 1
        news = roster_rows([(random.choice(made.names), cast(Any, record))], sequence)
        made.auxiliary[ROSTER.delta] = (*made.auxiliary[ROSTER.delta], news)
        if random.random() < 0.2:
            made.auxiliary[ROSTER.delta] = (made.auxiliary_rows(ROSTER),)
        user_list.of(cast(PinnedShard, made))
        assert everybody.between(None, None).texts().to_list() == before


@given(random=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_what_could_not_be_read_is_read_the_next_time(random: Random) -> None:
    made, user_list = Made(random, 40, 30), UserList()
    user_list.of(cast(PinnedShard, made))
    said: list[Any] = [("newcomer", {}), (made.names[0], None)]
    made.auxiliary[ROSTER.delta] = (*made.auxiliary[ROSTER.delta], roster_rows(said, 1_000))
    made.runs[ROSTER.run] = (b"r/1",)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "auxiliary_rows", lambda table: _damaged())
        with pytest.raises(StoreDamaged):
            user_list.of(cast(PinnedShard, made))
    assert user_list.of(cast(PinnedShard, made)).between(None, None).texts().to_list() == sorted(
        made.live()
    )


def _damaged() -> pl.DataFrame:
    raise StoreDamaged(Path("x"), "a test")
