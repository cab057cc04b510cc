"""The order in which the parts of a plan are evaluated."""

from typing import Any

from agents.filters.order import rounds
from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.plan_nodes import AllOf, Complement, FilterPlan, LeafQuery
from agents.filters.planning import plan

WORLD = FixedPlanFacts(sources={f"campaign:{name}": SourceView() for name in "abc"})


def received(name: str, **more: Any) -> dict[str, Any]:
    return {"filter": "received_from_campaign", "campaign": name, **more}


def ordered(tree: Any) -> list[Any]:
    found = plan(parse(tree), WORLD, now_ms=0)
    assert isinstance(found, FilterPlan)
    return rounds(found.tree)


def test_what_leaves_few_comes_first() -> None:
    never = {"filter": "never_received"}
    found = ordered({"and": [never, {"not": received("a")}, received("b"), received("c")]})
    kinds = [type(step) for step in found]
    assert kinds == [LeafQuery, LeafQuery, Complement, LeafQuery]
    assert [getattr(step, "sources", 0) for step in found] == [
        ("campaign:b",),
        ("campaign:c",),
        0,
        None,
    ]


def test_parts_with_a_source_in_common_stay_together() -> None:
    either = {"or": [received("b"), received("a")]}
    first, second = ordered({"and": [{"not": received("a")}, received("c"), {"and": [either]}]})
    assert isinstance(first, LeafQuery)
    assert first.sources == ("campaign:c",)
    assert isinstance(second, AllOf)
    assert len(second.parts) == 2


def test_one_leaf_is_one_round() -> None:
    assert len(ordered(received("a"))) == 1
    assert len(ordered({"or": [received("a"), received("b")]})) == 1
