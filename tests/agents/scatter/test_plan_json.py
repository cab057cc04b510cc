"""A plan that was sent to another worker is the same plan."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.filters.errors import FilterError
from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import MAX_PAIRS, plan
from agents.scatter.plan_json import MOST_BYTES, BadPlan, decode, encode
from tests.rigs.filters.brute import Facts
from tests.rigs.filters.histories import facts, trees
from tests.rigs.filters.planned import planned, relaxed


@given(known=facts(hidden=True), asked=st.lists(trees(), min_size=1, max_size=8))
@settings(relaxed, max_examples=150)
def test_round_trip(known: Facts, asked: list[Any]) -> None:
    for tree in asked:
        plan = planned(tree, known, exclude=True)
        if isinstance(plan, FilterPlan):
            there = decode(encode(plan))
            assert (there.tree, there.pins, there.now_ms) == (plan.tree, plan.pins, plan.now_ms)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"now": 1, "pins": {}, "tree": {}}',
        b'{"now": 1, "pins": {"campaign:a": "1"}, "tree": {"constant": true}}',
        b'{"now": 1, "pins": {}, "tree": {"leaf": ["InSegment", {}], "sources": null}}',
        b'{"now": 1, "pins": {}, "tree": {"leaf": ["__import__", {}], "sources": null}}',
        b'{"now": 1, "pins": {}, "tree": {"leaf": ["NeverReceived", {"x": 1}], "sources": null}}',
        b'{"now": 1, "pins": {}, "tree": {"leaf": ["NeverReceived", {"name": {}}], "sources": []}}',
        orjson.dumps({"now": 1, "pins": {}, "tree": None}),
    ],
)
def test_what_is_no_plan_is_refused(body: bytes) -> None:
    with pytest.raises(BadPlan):
        decode(body)


def asked(leaves: int, key: str) -> FilterPlan:
    """As many leaves that each ask a thousand sources of such keys."""
    sources = {f"{key}{at:04}": SourceView(version=1) for at in range(1_000)}
    tree = {"or": [{"filter": "received_with_tag", "tag": "t"}] * leaves}
    found = plan(parse(tree), FixedPlanFacts(sources, {}, {"t": list(sources)}), now_ms=1)
    assert isinstance(found, FilterPlan)
    return found


def test_the_largest_plan_of_usual_ids_can_be_sent() -> None:
    uuid = "campaign:01234567-89ab-cdef-0123-456789ab"
    assert len(encode(asked(MAX_PAIRS // 1_000, uuid))) < MOST_BYTES // 4


def test_a_plan_that_no_worker_would_accept_is_refused_before_it_is_sent() -> None:
    with pytest.raises(FilterError, match="longer than") as caught:
        encode(asked(30, "campaign:" + "x" * 580))
    assert (caught.value.path, caught.value.code) == ("$", "too_large")
