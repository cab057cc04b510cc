"""The merges of a shard are those of each moment, whatever its runs and deltas are."""

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.shard.merge_list import MergeList
from schemas.tables.erased import NO_MASK, Mask
from schemas.tables.merges import version_of
from schemas.tables.roster import ROSTER_SCHEMA, latest, roster_rows
from streams.state.auxiliary_table import ROSTER
from streams.state.store import Store

USERS = ("u1", "u2", "u3")


class Roster:
    """A store that has a roster alone."""

    def __init__(self) -> None:
        self.deltas: dict[bytes, pl.DataFrame] = {}
        self.runs: dict[bytes, pl.DataFrame] = {}
        self.mask: Mask = NO_MASK
        self.read = self.made = 0

    @property
    def table(self) -> Any:
        return SimpleNamespace(
            auxiliary={ROSTER.delta: self.deltas}, runs={ROSTER.run: self.runs}, mask=self.mask
        )

    async def pin(self) -> Any:
        deltas, runs, mask = tuple(self.deltas.values()), dict(self.runs), self.mask

        def rows(table: object) -> pl.DataFrame:
            self.read += 1
            return latest(pl.concat([pl.DataFrame(schema=ROSTER_SCHEMA), *deltas, *runs.values()]))

        return SimpleNamespace(
            auxiliary={ROSTER.delta: deltas},
            runs={ROSTER.run: tuple(sorted(runs))},
            mask=mask,
            auxiliary_rows=rows,
        )

    def write(self, *told: tuple[str, dict[str, Any] | None]) -> None:
        self.made += 1
        self.deltas[b"q/%d" % self.made] = roster_rows(told, 100 * self.made)

    def flush(self) -> None:
        self.made += 1
        self.runs[b"r/%d" % self.made] = latest(pl.concat(self.deltas.values()))
        self.deltas.clear()


@given(random=st.randoms(use_true_random=False), steps=st.integers(1, 12))
@settings(deadline=None, max_examples=60)
def test_merges_are_those_of_the_last_records(random: Random, steps: int) -> None:
    async def run() -> None:
        roster, merges, last = Roster(), MergeList(), dict[str, str | None]()
        for _ in range(steps):
            user = random.choice(USERS)
            into = random.choice((None, "", user, "u9", *USERS))
            record = None if random.random() < 0.2 else {"merged_into": into}
            roster.write((user, record))
            last[user] = into if record is not None and into not in ("", user) else None
            if random.random() < 0.3:
                roster.flush()
            if random.random() < 0.7:
                found = await merges.read(cast(Store, roster))
                expected = sorted((user, into) for user, into in last.items() if into is not None)
                assert found.frame.rows() == expected
                assert bool(found.version) == bool(expected)
                assert found.version == version_of(found.frame)

    asyncio.run(run())


async def test_a_roster_is_read_once_and_then_its_new_records() -> None:
    roster, merges = Roster(), MergeList()
    roster.write(("u1", {"merged_into": "u2"}))
    roster.flush()
    first = await merges.read(cast(Store, roster))
    assert (first.frame.rows(), roster.read) == ([("u1", "u2")], 1)
    assert await merges.read(cast(Store, roster)) is first
    roster.write(("u3", {"merged_into": "u2"}), ("u1", {}))
    assert (await merges.read(cast(Store, roster))).frame.rows() == [("u3", "u2")]
    roster.write(("u3", {}))
    assert (await merges.read(cast(Store, roster))).version == ""
    assert roster.read == 1


async def test_the_same_merges_have_the_same_version_whatever_they_came_from() -> None:
    versions = set()
    for told in ([("a", "b"), ("c", "d")], [("c", "d"), ("a", "b")]):
        roster = Roster()
        roster.write(*((user, {"merged_into": into}) for user, into in told))
        versions.add((await MergeList().read(cast(Store, roster))).version)
    assert len(versions) == 1
    assert version_of(pl.DataFrame({"user": ["a"], "into": ["bc"]})) != version_of(
        pl.DataFrame({"user": ["ab"], "into": ["c"]})
    )
