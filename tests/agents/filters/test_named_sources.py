"""Names in the filter of a question: an id before a name, whole names only, nothing guessed."""

from typing import Any

import pytest

from agents.filters.named_sources import with_keys
from agents.names.index import NameIndex
from agents.names.resolve import AmbiguousSource
from schemas.records.lifecycle import SourceState, State

NAMES = NameIndex(
    SourceState(key, State.ACTIVE, 1, name=name)
    for key, name in {
        "campaign:1": "Spring sale",
        "campaign:2": "Twice",
        "campaign:3": "twice",
        "campaign:Twice too": "Other",
        "canvas:1": "Spring sale",
        "canvas:4": "Odd\u202e",
        "campaign:5": "Twice too",
    }.items()
)


def received(campaign: Any) -> dict[str, Any]:
    return {"filter": "received_from_campaign", "campaign": campaign}


def keys(tree: Any) -> tuple[Any, dict[str, str]]:
    found, understood = with_keys(tree, NAMES, lambda key: NAMES.get(key) is not None)
    return found, {text: record.source for text, record in understood.items()}


def test_a_whole_name_becomes_the_key_of_the_filters_kind() -> None:
    step = {"filter": "received_from_step", "canvas": "canvas:Spring sale", "step": "s"}
    tree = {"and": [received("spring SALE"), {"not": {"or": [step]}}]}
    found, understood = keys(tree)
    assert found == {
        "and": [received("campaign:1"), {"not": {"or": [step | {"canvas": "canvas:1"}]}}]
    }
    assert understood == {"spring SALE": "campaign:1", "canvas:Spring sale": "canvas:1"}
    assert tree["and"][0] == received("spring SALE")


@pytest.mark.parametrize(
    "tree",
    [
        received("1"),
        received("campaign:1"),
        received("Twice too"),
        received("Spring"),
        received("Winter"),
        received(""),
        received(7),
        {"filter": "received_with_tag", "tag": "Spring sale", "campaign": "Spring sale"},
        {"filter": "nothing", "campaign": "Spring sale"},
        {"filter": 7, "campaign": "Spring sale"},
        {"and": "x"},
        {"and": [None, 7, []]},
        [],
        None,
        "x",
    ],
)
def test_everything_else_stays(tree: Any) -> None:
    assert keys(tree) == (tree, {})


@pytest.mark.parametrize("text", ["Twice", "twice", "campaign:TWICE"])
def test_a_name_of_several_is_ambiguous(text: str) -> None:
    with pytest.raises(AmbiguousSource, match="received_from_campaign"):
        keys(received(text))


def test_a_name_with_characters_that_nobody_sees_is_not_guessed() -> None:
    with pytest.raises(AmbiguousSource):
        keys({"filter": "received_from_step", "canvas": "Odd", "step": "s"})


def test_what_is_too_large_is_left_to_the_parser() -> None:
    deep: Any = received("Spring sale")
    for _ in range(40):
        deep = {"not": deep}
    assert keys(deep) == (deep, {})
    many = {"or": [received("Spring sale")] * 1_100}
    assert keys(many)[0]["or"][-1] == received("Spring sale")
