"""Properties: for any history and any filter, the result equals that of an independent evaluation
in plain Python.
"""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.filters import tally
from agents.filters.errors import FilterError
from agents.filters.evaluation import evaluate
from agents.filters.plan_nodes import FilterPlan
from agents.filters.refusals import Refused
from agents.filters.vocabulary import VOCABULARY
from tests.rigs.filters.brute import Facts, Invalid, Verdict, judge
from tests.rigs.filters.histories import LEAVES, facts, negated, trees
from tests.rigs.filters.planned import planned, relaxed
from tests.rigs.filters.shard import Shard


def judged(tree: Any, known: Facts, **how: bool) -> Verdict | None:
    """What the second opinion says; None where the filter is empty of sense."""
    try:
        return judge(tree, known, **how)
    except Invalid:
        return None


def agree(tree: Any, known: Facts, seed: int, *, exclude: bool = False) -> None:
    """Refusals, exclusions and users are the same on both sides."""
    expected = judged(tree, known, exclude=exclude)
    found = planned(tree, known, exclude=exclude)
    if isinstance(found, FilterError):
        assert (found.code, expected) == ("impossible_range", None)
        return
    if isinstance(found, Refused):
        refused = {
            (r.code.value, r.at.path, r.at.through, tuple(s for s, _ in r.sources))
            for r in found.refusals
        }
        unreadable = {one for one in refused if one[0] == "unreadable_segment"}
        if expected is None:
            assert unreadable
        else:
            assert refused == expected.refused
        return
    assert expected is not None
    assert expected.refused == set()
    assert {(one.source, one.at.path) for one in found.excluded_expired} == expected.excluded
    shard = Shard(known, Random(seed))
    users = evaluate(found, shard).to_list()
    assert len(users) == len(set(users))
    assert set(users) == expected.users
    assert len(shard.asked) == len(set(shard.asked)), "a source is read once"
    assert set(shard.asked) <= found.pins.keys()


def test_there_is_a_strategy_for_every_filter() -> None:
    assert LEAVES.keys() == VOCABULARY.keys()


@pytest.mark.parametrize("name", sorted(LEAVES))
@given(data=st.data(), seed=st.integers(0, 2**32))
@settings(relaxed, max_examples=25)
def test_each_filter_alone(name: str, data: st.DataObject, seed: int) -> None:
    known = data.draw(facts(hidden=False))
    for _ in range(3):
        agree(data.draw(LEAVES[name]), known, seed)


@given(
    known=facts(hidden=False),
    asked=st.lists(trees(), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
@settings(relaxed, max_examples=200)
def test_trees_of_filters(known: Facts, asked: list[Any], seed: int) -> None:
    for tree in asked:
        agree(tree, known, seed)


@given(
    known=facts(hidden=True),
    asked=st.lists(negated() | negated() | trees(), min_size=4, max_size=8),
    seed=st.integers(0, 2**32),
    exclude=st.booleans(),
)
@settings(relaxed, max_examples=250)
def test_hidden_sources(known: Facts, asked: list[Any], seed: int, exclude: bool) -> None:
    for tree in asked:
        agree(tree, known, seed, exclude=exclude)


@given(known=facts(hidden=True), asked=st.lists(negated() | trees(4), min_size=4, max_size=8))
@settings(relaxed, max_examples=200)
def test_what_is_excluded_never_lets_anybody_in(known: Facts, asked: list[Any]) -> None:
    for tree in asked:
        full = judged(tree, known, blind=True)
        if full is None:
            continue
        found = planned(tree, known, exclude=True)
        if isinstance(found, FilterPlan):
            users = set(evaluate(found, Shard(known, Random(1))).to_list())
            assert users <= full.users
            if not found.excluded_expired:
                assert users == full.users


@given(known=facts(hidden=False), tree=trees(), seed=st.integers(0, 2**32))
@settings(relaxed, max_examples=50)
def test_not_is_the_rest_of_the_roster(known: Facts, tree: Any, seed: int) -> None:
    found, other = planned(tree, known), planned({"not": tree}, known)
    if isinstance(found, FilterPlan) and isinstance(other, FilterPlan):
        users = evaluate(found, Shard(known, Random(seed))).to_list()
        others = evaluate(other, Shard(known, Random(seed))).to_list()
        assert sorted(users + others) == sorted(known.roster)


@given(
    known=facts(hidden=False),
    asked=st.lists(trees(), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
)
@settings(relaxed, max_examples=50)
def test_rows_looked_up_bit_by_bit(known: Facts, asked: list[Any], seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "_LEAST_HELD", 1)
        for tree in asked:
            agree(tree, known, seed)
