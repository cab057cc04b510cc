"""Valid filters, and the refusal of invalid ones: code, path, and the allowed values."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.filters import references
from agents.filters.errors import CODES, FilterError
from agents.filters.nodes import And, Node, Opaque, Received, SourceFilter
from agents.filters.parsing import leaves, parse, parse_text, uses
from agents.filters.references import MAX_DEPTH, MAX_NODES, SOURCE_FILTERS, TAG_FILTERS, Use
from agents.filters.resolving import resolve
from agents.filters.vocabulary import PROFILE_FILTERS, VOCABULARY
from schemas.records.lifecycle import Definition, Status
from tests.rigs.filters.brute import BACK, NOW, millis
from tests.rigs.filters.histories import LEAVES, trees

RECEIVED = {"filter": "received_from_campaign", "campaign": "a"}
LAST = {"filter": "last_received_from_campaign", "campaign": "a"}
CONVERTED = {"filter": "converted_from_campaign", "campaign": "a"}
STEP = {"filter": "received_from_step", "canvas": "c", "step": "s"}
OPENED = {"filter": "clicked_opened_campaign", "campaign": "a", "action": "opened"}
VIEWS = {"filter": "feed_view_count", "comparator": ">=", "n": 3}


def without(leaf: dict[str, Any], name: str) -> dict[str, Any]:
    """The leaf less one argument."""
    return {key: value for key, value in leaf.items() if key != name}


def parsed(tree: Any) -> Node | FilterError:
    """The nodes, or why there are none."""
    try:
        return parse(tree)
    except FilterError as error:
        return error


REFUSED: list[tuple[Any, str, str]] = [
    (None, "bad_node", "$"),
    ([], "bad_node", "$"),
    ("received", "bad_node", "$"),
    ({}, "bad_node", "$"),
    ({"nand": []}, "bad_node", "$"),
    ({"and": [], "or": []}, "bad_node", "$"),
    ({"not": RECEIVED, "and": []}, "bad_node", "$"),
    ({"and": RECEIVED}, "bad_node", "$.and"),
    ({"not": [RECEIVED]}, "bad_node", "$.not"),
    ({"or": [RECEIVED, 3]}, "bad_node", "$.or[1]"),
    ({"filter": 3}, "bad_node", "$.filter"),
    ({"not": {"filter": "received_from_campain"}}, "unknown_filter", "$.not.filter"),
    ({"filter": "received_from_campaign"}, "missing_argument", "$"),
    ({"and": [RECEIVED, without(STEP, "step")]}, "missing_argument", "$.and[1]"),
    (without(OPENED, "action"), "missing_argument", "$"),
    ({"filter": "received_campaign_variant", "campaign": "a"}, "missing_argument", "$"),
    ({"filter": "received_with_tag"}, "missing_argument", "$"),
    ({"filter": "clicked_alias_in_any"}, "missing_argument", "$"),
    ({"filter": "feature_flag"}, "missing_argument", "$"),
    ({"filter": "in_segment"}, "missing_argument", "$"),
    (without(VIEWS, "n"), "missing_argument", "$"),
    ({**RECEIVED, "step": "s"}, "unknown_argument", "$.step"),
    ({**RECEIVED, "Before": "P1D"}, "unknown_argument", "$.Before"),
    ({**RECEIVED, "not": RECEIVED}, "unknown_argument", "$.not"),
    ({"filter": "never_received", "before": "P1D"}, "unknown_argument", "$.before"),
    ({**RECEIVED, "has": "yes"}, "bad_argument", "$.has"),
    ({**RECEIVED, "has": 0}, "bad_argument", "$.has"),
    ({**RECEIVED, "campaign": 7}, "bad_argument", "$.campaign"),
    ({**RECEIVED, "campaign": ""}, "bad_argument", "$.campaign"),
    ({**RECEIVED, "campaign": "campaign:"}, "bad_argument", "$.campaign"),
    ({**RECEIVED, "campaign": "canvas:c"}, "bad_argument", "$.campaign"),
    ({**RECEIVED, "campaign": "\ud800"}, "bad_argument", "$.campaign"),
    ({**OPENED, "action": "received"}, "bad_argument", "$.action"),
    ({**OPENED, "channel": "PIGEON"}, "bad_argument", "$.channel"),
    ({**CONVERTED, "index": 4}, "bad_argument", "$.index"),
    ({**CONVERTED, "index": "0"}, "bad_argument", "$.index"),
    ({**CONVERTED, "index": True}, "bad_argument", "$.index"),
    ({**VIEWS, "comparator": "about"}, "bad_argument", "$.comparator"),
    ({**VIEWS, "n": -1}, "bad_argument", "$.n"),
    ({**VIEWS, "n": 1.5}, "bad_argument", "$.n"),
    ({**VIEWS, "n": 2**63}, "bad_argument", "$.n"),
    ({**VIEWS, "comparator": "<", "n": 0}, "impossible_range", "$"),
    ({**RECEIVED, "after": 1_700_000_000_000}, "bad_time", "$.after"),
    ({**RECEIVED, "after": "2026-05-01"}, "bad_time", "$.after"),
    ({**RECEIVED, "after": "2026-05-01T00:00:00"}, "bad_time", "$.after"),
    ({**RECEIVED, "after": "2026-02-30T00:00:00Z"}, "bad_time", "$.after"),
    ({**RECEIVED, "after": "yesterday"}, "bad_time", "$.after"),
    ({**RECEIVED, "before": "P"}, "bad_time", "$.before"),
    ({**RECEIVED, "before": "P1DT"}, "bad_time", "$.before"),
    ({**RECEIVED, "before": "P-1D"}, "bad_time", "$.before"),
    ({**RECEIVED, "after": "P2D", "before": "P1D"}, "both_bounds", "$"),
    ({"filter": "received_with_tag", "tag": "t", "after": "P2D", "before": "P1D"},
     "both_bounds", "$"),
    ({"filter": "clicked_opened_with_tag", "tag": "t", "action": "any", "after": "P2D",
      "before": "P1D"}, "both_bounds", "$"),
    (LAST, "no_bound", "$"),
    ({"filter": "last_received_with_tag", "tag": "t"}, "no_bound", "$"),
    ({"filter": "last_engaged"}, "no_bound", "$"),
    ({"filter": "last_viewed_feed", "has": False}, "no_bound", "$"),
    ({**LAST, "after": "2026-05-02T00:00:00Z", "before": "2026-05-01T00:00:00Z"},
     "impossible_range", "$"),
    ({**LAST, "after": "2026-05-01T00:00:00Z", "before": "2026-05-01T02:00:00+02:00"},
     "impossible_range", "$"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "code", "path"), REFUSED)
def test_refused_with_code_path_and_remedy(tree: Any, code: str, path: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse(tree)
    assert (raised.value.code, raised.value.path) == (code, path)
    assert raised.value.code in CODES
    assert str(raised.value).startswith(f"{path}: ")
    assert raised.value.remedy


def test_every_refusal_has_an_example() -> None:
    assert {code for _, code, _ in REFUSED} == set(CODES) - {"too_deep", "too_large"}


def test_an_unknown_filter_gets_the_nearest_as_a_hint() -> None:
    with pytest.raises(FilterError, match="Use received_from_campaign"):
        parse({"filter": "received_from_campain"})


def test_the_error_of_an_unknown_argument_lists_the_known_ones() -> None:
    with pytest.raises(FilterError, match="It takes has, campaign, after, before"):
        parse({**RECEIVED, "step": "s"})


def test_the_fourteen_the_three_the_eighteen_and_segments() -> None:
    assert len(PROFILE_FILTERS) == 18
    assert VOCABULARY.keys() == {*SOURCE_FILTERS, *TAG_FILTERS, *PROFILE_FILTERS, "in_segment"}


def test_depth_and_size_are_bounded_like_the_coordinators() -> None:
    deep: Any = RECEIVED
    for _ in range(MAX_DEPTH - 1):
        deep = {"not": deep}
    parse(deep)
    with pytest.raises(FilterError, match="deeper than 32") as raised:
        parse({"not": deep})
    assert (raised.value.code, raised.value.path) == ("too_deep", "$" + ".not" * 32)
    wide = {"or": [RECEIVED] * (MAX_NODES - 1)}
    parse(wide)
    with pytest.raises(FilterError, match="more than 1000") as raised:
        parse({"or": [RECEIVED] * MAX_NODES})
    assert (raised.value.code, raised.value.path) == ("too_large", "$.or[999]")


def test_bare_id_and_full_key_and_any_case_of_a_channel() -> None:
    assert parse(RECEIVED) == parse({**RECEIVED, "campaign": "campaign:a"})
    assert parse({**OPENED, "channel": "email"}) == parse({**OPENED, "channel": "EMAIL"})
    assert parse({**RECEIVED, "campaign": "x:y"}) == parse({**RECEIVED, "campaign": "campaign:x:y"})


def test_null_is_absent() -> None:
    assert parse({**RECEIVED, "before": None, "has": None}) == parse(RECEIVED)
    with pytest.raises(FilterError, match="needs 'campaign'"):
        parse({**RECEIVED, "campaign": None})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, millis(moment)) for text, moment in BACK.items()),
        ("2026-03-31T12:00:00Z", millis(NOW)),
        ("2026-03-31t14:00:00+02:00", millis(NOW)),
        ("2026-03-31T12:00:00.5Z", millis(NOW) + 500),
        # Events have whole milliseconds: at or after 0.0001 is at or after 0.001.
        ("2026-03-31T12:00:00.0001Z", millis(NOW) + 1),
        ("2026-03-31T12:00:00.001000Z", millis(NOW) + 1),
    ],
)
def test_moments(text: str, expected: int) -> None:
    node = resolve(parse({**RECEIVED, "after": text}), millis(NOW))
    assert isinstance(node, Received)
    assert node.span.bounds() == (expected, None)
    assert resolve(node, 0) == node


def test_a_range_is_judged_again_when_now_is_known() -> None:
    node = parse({"not": {**LAST, "after": "P1D", "before": "P2D"}})
    with pytest.raises(FilterError) as raised:
        resolve(node, millis(NOW))
    assert (raised.value.code, raised.value.path) == ("impossible_range", "$.not")
    with pytest.raises(FilterError) as raised:
        resolve(parse({**RECEIVED, "after": "P9999Y"}), millis(NOW))
    assert (raised.value.code, raised.value.path) == ("bad_time", "$.after")


def test_a_span_has_no_bounds_before_now_is_known() -> None:
    node = parse({**RECEIVED, "after": "P1D"})
    assert isinstance(node, Received)
    with pytest.raises(TypeError):
        node.span.bounds()


def test_definitions_may_rest_on_what_is_not_known_here() -> None:
    tree = {"and": [{"filter": "custom_attribute", "x": 1, "has": False}, {"x": 2}, RECEIVED]}
    node = parse(tree, opaque=True)
    assert isinstance(node, And)
    assert node.parts[:2] == (Opaque(name="custom_attribute", has=False), Opaque(name=""))
    assert uses(node) == {Use("campaign:a", "received_from_campaign")}
    with pytest.raises(FilterError):
        parse(tree)
    with pytest.raises(FilterError):
        parse({"and": RECEIVED}, opaque=True)


def test_text_of_a_definition() -> None:
    assert parse_text(None) is None
    assert parse_text("null") is None
    assert parse_text(json.dumps(RECEIVED)) == parse(RECEIVED)
    with pytest.raises(FilterError) as raised:
        parse_text("{")
    assert (raised.value.code, raised.value.path) == ("bad_node", "$")


@given(trees(leaves=20))
@settings(max_examples=300, deadline=None)
def test_what_parses_uses_exactly_what_the_coordinator_finds(tree: Any) -> None:
    node = parsed(tree)
    if isinstance(node, FilterError):
        assert node.code == "impossible_range"
        return
    text = json.dumps(tree)
    found = references.uses(Definition("canvas:x", Status.ACTIVE, filters=text))
    assert uses(node) == set(found)
    walked = [(leaf.path, leaf.name, leaf.negative) for leaf in references.leaves(tree)]
    assert walked == [(leaf.path, leaf.name, negative) for leaf, negative in leaves(node)]


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4)
    | st.sampled_from(("P1D", "a", "campaign:a", "canvas:a")),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(
        st.sampled_from(("and", "or", "not", "filter", "has", "campaign", "canvas", "after")),
        below, max_size=4) | st.fixed_dictionaries(
        {"filter": st.sampled_from(sorted(LEAVES))},
        optional=dict.fromkeys(("campaign", "canvas", "has", "before", "step", "tag"), below)),
    max_leaves=12,
))  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_whatever_json_is_sent_it_is_a_filter_or_an_error_with_a_path(tree: Any) -> None:
    node = parsed(tree)
    if isinstance(node, FilterError):
        assert node.path.startswith("$")
        return
    found = references.uses(Definition("canvas:x", Status.ACTIVE, filters=json.dumps(tree)))
    assert uses(node) == set(found)
    assert all(
        leaf.source.startswith(f"{SOURCE_FILTERS[leaf.name]}:")
        for leaf, _ in leaves(node)
        if isinstance(leaf, SourceFilter)
    )
