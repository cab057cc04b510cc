"""Laws: with merges, an audience is what it would be if all events of a person had one id.

Users lie in any shards. Each shard says of its own users alone what it finds, and what all shards
find is put together.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.filters.combining import matching
from agents.filters.evaluation import Look, evaluate, examine
from agents.filters.plan_nodes import FilterPlan
from schemas.tables.merges import MOST_MERGES, Persons
from tests.rigs.filters.brute import Facts, judge
from tests.rigs.filters.histories import STRANGERS, USERS, facts, trees
from tests.rigs.filters.planned import planned, relaxed
from tests.rigs.filters.shard import Shard

Merges = Mapping[str, str]
IDS = (*USERS, *STRANGERS)
MERGES: st.SearchStrategy[Merges] = st.dictionaries(
    st.sampled_from(IDS), st.sampled_from((*IDS, "nobody"))
).map(lambda found: {user: into for user, into in found.items() if user != into})


def ending(user: str, merges: Merges) -> str | None:
    """Where the merges of a user end: step by step."""
    for _ in range(MOST_MERGES + 1):
        if user not in merges:
            return user
        user = merges[user]
    return None


def under_one_id(known: Facts, merges: Merges) -> Facts:
    """The same history, as if every person had had one id from the beginning."""
    ends = {user: ending(user, merges) for user in known.roster}
    named = {user: end for user, end in ends.items() if end is not None and end in known.roster}
    views: dict[str, int] = {}
    for user, count in known.views.items():
        if user in named:
            views[named[user]] = views.get(named[user], 0) + count
    return replace(
        known,
        roster=set(named.values()),
        events=[e._replace(user=named[e.user]) for e in known.events if e.user in named],
        views=views,
    )


def part_of(known: Facts, users: set[str]) -> Facts:
    """What one shard has."""
    return replace(
        known,
        roster=known.roster & users,
        events=[event for event in known.events if event.user in users],
        views={user: count for user, count in known.views.items() if user in users},
    )


def asked(plan: FilterPlan, known: Facts, merges: Merges, random: Random) -> list[str]:
    """The audience, asked of one to four shards."""
    persons = persons_of(merges)
    placed: dict[int, set[str]] = {}
    most = random.randint(1, 4)
    for user in {*IDS, *known.roster}:
        placed.setdefault(random.randrange(most), set()).add(user)
    users: list[str] = []
    found: list[pl.DataFrame] = []
    for shard, theirs in placed.items():
        data = Shard(part_of(known, theirs), Random(shard))
        mine = persons.users.filter(pl.col("user").is_in(sorted(theirs)))
        members = mine.select("user").with_row_index("at")
        if random.random() < 0.5:
            alone, findings = examine(plan, data, members, Look.ALL)
        else:
            _, findings = examine(plan, data, members, Look.MEMBERS)
            alone, none = examine(plan, data, members, Look.OTHERS)
            assert not len(none)
        users += alone.to_list()
        found.append(findings.join(mine.with_row_index("at"), on="at").drop_nulls("person"))
    decided = matching(plan, pl.concat(found)).to_list()
    return [*users, *decided]


def persons_of(merges: Merges) -> Persons:
    return Persons(pl.DataFrame({"user": list(merges), "into": list(merges.values())}, {
        "user": pl.String, "into": pl.String
    }))  # fmt: skip


@given(
    known=facts(hidden=False),
    merges=MERGES,
    wanted=st.lists(trees(), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
)
@settings(relaxed, max_examples=150)
def test_an_audience_is_that_of_the_same_events_under_one_id(
    known: Facts, merges: Merges, wanted: list[Any], seed: int
) -> None:
    together = under_one_id(known, merges)
    for tree in wanted:
        plan = planned(tree, known)
        if not isinstance(plan, FilterPlan):
            continue
        found = asked(plan, known, merges, Random(seed))
        assert len(found) == len(set(found)), "nobody is there twice"
        assert set(found) == set(evaluate(plan, Shard(together, Random(seed))).to_list())
        assert set(found) == judge(tree, together).users


@given(known=facts(hidden=False), merges=MERGES, tree=trees(), seed=st.integers(0, 2**32))
@settings(relaxed, max_examples=50)
def test_a_merge_that_is_taken_back_leaves_nothing(
    known: Facts, merges: Merges, tree: Any, seed: int
) -> None:
    plan = planned(tree, known)
    if isinstance(plan, FilterPlan):
        before = asked(plan, known, {}, Random(seed))
        asked(plan, known, merges, Random(seed))
        assert sorted(asked(plan, known, {}, Random(seed))) == sorted(before)
        assert sorted(before) == evaluate(plan, Shard(known, Random(seed))).to_list()


@given(merges=MERGES)
def test_persons_are_where_the_merges_end(merges: Merges) -> None:
    persons = persons_of(merges)
    for user in (*IDS, "nobody", "somebody"):
        end = ending(user, merges)
        assert persons.person_of(user) == end
        if end is not None:
            assert persons.members(end) == sorted(
                {end, *(each for each in merges if ending(each, merges) == end)}
            )


@pytest.mark.parametrize("length", [1, 2, MOST_MERGES, MOST_MERGES + 1])
def test_a_row_of_merges_is_followed_so_far(length: int) -> None:
    merges = {f"u{at:02d}": f"u{at + 1:02d}" for at in range(length)}
    persons = persons_of(merges)
    ends = f"u{length:02d}"
    assert persons.person_of("u00") == (ends if length <= MOST_MERGES else None)
    assert persons.person_of("u01") == ends


def test_rows_are_renamed_and_nobodys_are_left_out() -> None:
    persons = persons_of({"b": "a", "x": "y", "y": "x"})
    rows = pl.DataFrame({"user": ["a", "b", "c", "x"], "n": [1, 2, 3, 4]})
    assert persons.renamed(rows).rows() == [("a", 1), ("a", 2), ("c", 3)]
    alone, others = persons.split(rows)
    assert (alone["user"].to_list(), others["user"].to_list()) == (["c"], ["a", "b", "x"])
