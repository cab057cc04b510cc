"""A plan that went to another worker is the same plan."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.filters import Plan
from agents.query.plan_json import BadPlan, decode, encode
from tests.agents.filters.brute import Facts
from tests.agents.filters.histories import facts, trees
from tests.agents.filters.test_against_brute_force import planned, relaxed


@given(known=facts(hidden=True), asked=st.lists(trees(), min_size=1, max_size=8))
@settings(relaxed, max_examples=150)
def test_round_trip(known: Facts, asked: list[Any]) -> None:
    for tree in asked:
        plan = planned(tree, known, exclude=True)
        if isinstance(plan, Plan):
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
