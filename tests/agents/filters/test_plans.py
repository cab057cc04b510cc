"""Plans: the refusals, the excluded sources, and the pinned versions."""

import json
from typing import Any

import pytest

from agents.filters.errors import FilterError
from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SegmentView, SourceView
from agents.filters.plan_nodes import Constant, FilterPlan
from agents.filters.planning import MAX_EXPANDED_DEPTH, MAX_PAIRS, plan
from agents.filters.refusals import Code, FilterPath, OnExpired, Refused
from schemas.records.lifecycle import HIDDEN, VISIBLE, State

NOW = 1_774_958_400_000
HOT, OLD, GONE, BACK = "campaign:hot", "campaign:old", "campaign:gone", "campaign:back"
SOURCES = {
    HOT: SourceView(State.ACTIVE, 3, variations=frozenset("v")),
    OLD: SourceView(State.EXPIRED, 7),
    GONE: SourceView(State.STOPPED, 2, legacy_deleted=True),
    BACK: SourceView(State.RESTORING, 5),
    "canvas:c": SourceView(State.UNKNOWN, None, steps=frozenset(("s", "t"))),
}
TAGS = {"warm": [HOT, "canvas:c"], "mixed": [HOT, OLD, BACK], "lost": [HOT, GONE]}


def received(campaign: str, **more: Any) -> dict[str, Any]:
    """A leaf on a campaign."""
    return {"filter": "received_from_campaign", "campaign": campaign, **more}


def segment(key: str, **more: Any) -> dict[str, Any]:
    """A leaf on a segment."""
    return {"filter": "in_segment", "segment": key, **more}


def tagged(tag: str, name: str = "received_with_tag", **more: Any) -> dict[str, Any]:
    """A leaf on a tag."""
    return {"filter": name, "tag": tag, **more}


def made(tree: Any, *, exclude: bool = False, **segments: Any) -> FilterPlan | Refused:
    """Its plan; the keywords are segments' filters."""
    texts = {f"segment:{key}": value and json.dumps(value) for key, value in segments.items()}
    plan_facts = FixedPlanFacts(SOURCES, texts, TAGS)
    mode = OnExpired.EXCLUDE if exclude else OnExpired.REFUSE
    return plan(parse(tree), plan_facts, now_ms=NOW, on_expired=mode)


def accepted(tree: Any, **how: Any) -> FilterPlan:
    """Its plan; it must not be refused."""
    found = made(tree, **how)
    assert isinstance(found, FilterPlan), found
    return found


def refused(tree: Any, **how: Any) -> Refused:
    """What stands in its way; something must."""
    found = made(tree, **how)
    assert isinstance(found, Refused), found
    return found


def test_the_sources_read_are_pinned_to_their_versions() -> None:
    tree = {"or": [received("hot"), tagged("warm"), {"filter": "never_received"}]}
    assert accepted(tree).pins == {HOT: 3, "canvas:c": None}


@pytest.mark.parametrize("state", sorted(VISIBLE))
def test_visible_sources_answer_whatever_their_state(state: State) -> None:
    plan_facts = FixedPlanFacts({HOT: SourceView(state)})
    assert isinstance(plan(parse(received("hot")), plan_facts, now_ms=NOW), FilterPlan)


@pytest.mark.parametrize("state", sorted(HIDDEN))
@pytest.mark.parametrize("has", [True, False])
def test_hidden_data_is_refused_in_both_polarities(state: State, has: bool) -> None:
    plan_facts = FixedPlanFacts({HOT: SourceView(state)})
    found = plan(parse(received("hot", has=has)), plan_facts, now_ms=NOW)
    assert isinstance(found, Refused)
    assert (found.code, found.status, found.sources) == (Code.SOURCE_HIDDEN, 409, (HOT,))


def test_all_offenders_are_named_with_their_paths_and_the_call_that_mends_it() -> None:
    plan_facts = FixedPlanFacts({**SOURCES, "campaign:older": SourceView(State.EXPIRING, 1)})
    tree = {"and": [received("old"), {"not": received("older")}, received("back")]}
    found = plan(parse(tree), plan_facts, now_ms=NOW)
    assert isinstance(found, Refused)
    assert [str(one.at) for one in found.refusals] == ["$.and[0]", "$.and[1].not", "$.and[2]"]
    assert found.sources == (BACK, OLD, "campaign:older")
    assert found.restore == {"sources": [OLD, "campaign:older"]}
    assert "received_from_campaign at $.and[0]: campaign:old is EXPIRED" in found.detail


def test_no_restore_is_offered_where_it_would_not_help() -> None:
    assert refused(received("back")).restore is None
    assert refused({"and": [received("old"), received("gone")]}).restore is None
    assert refused({"and": [received("old"), received("nobody")]}).restore is None


@pytest.mark.parametrize(
    ("tree", "code"),
    [
        (received("nobody"), Code.UNKNOWN_SOURCE),
        ({"filter": "received_from_step", "canvas": "c", "step": "x"}, Code.UNKNOWN_STEP),
        (
            {"filter": "received_campaign_variant", "campaign": "hot", "variation": "x"},
            Code.UNKNOWN_VARIATION,
        ),
        (tagged("untold"), Code.UNKNOWN_TAG),
        (segment("unmade"), Code.UNKNOWN_SEGMENT),
    ],
)
def test_unknown_names_are_refused_with_the_path(tree: Any, code: Code) -> None:
    found = refused({"and": [received("hot"), {"not": tree}]})
    assert (found.code, found.status) == (code, 400)
    assert [one.at for one in found.refusals] == [FilterPath("$.and[1].not")]


def test_a_definition_that_lists_no_variations_says_nothing_about_them() -> None:
    variant = {"filter": "received_campaign_variant", "campaign": "x", "variation": "any"}
    plan_facts = FixedPlanFacts({"campaign:x": SourceView()})
    assert isinstance(plan(parse(variant), plan_facts, now_ms=NOW), FilterPlan)


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("has", [False, True])
def test_legacy_deleted_is_refused_for_good(exclude: bool, has: bool) -> None:
    found = refused(received("gone", has=has), exclude=exclude)
    assert (found.code, found.status, found.sources) == (Code.LEGACY_DELETED, 410, (GONE,))
    assert found.restore is None


@pytest.mark.parametrize(
    ("tree", "dropped"),
    [
        (received("old"), True),
        ({"not": received("old", has=False)}, True),
        ({"not": {"not": received("old")}}, True),
        ({"or": [received("hot"), received("old")]}, True),
        (received("old", has=False), False),
        ({"not": received("old")}, False),
        ({"and": [received("hot"), {"not": {"or": [received("old")]}}]}, False),
    ],
)
def test_exclude_drops_where_the_answer_can_only_become_shorter(tree: Any, dropped: bool) -> None:
    found = made(tree, exclude=True)
    if dropped:
        assert isinstance(found, FilterPlan)
        assert [one.source for one in found.excluded_expired] == [OLD]
        assert OLD not in found.pins
    else:
        assert isinstance(found, Refused)
        assert found.code is Code.SOURCE_HIDDEN


def test_a_dropped_leaf_adds_no_user_in_any_position() -> None:
    assert accepted(received("old"), exclude=True).tree == Constant(False)
    # "not (entered and not held out)": without its data this would be everybody.
    tree = {"filter": "in_campaign_control_group", "campaign": "old", "has": False}
    below = accepted({"not": tree}, exclude=True).tree
    assert getattr(below, "part", None) == Constant(True)


def test_hidden_sources_of_a_tag_are_left_out_and_named() -> None:
    found = accepted({"and": [tagged("mixed")]})
    assert found.pins == {HOT: 3}
    assert [(one.source, str(one.at)) for one in found.excluded_expired] == [
        (BACK, "$.and[0]"),
        (OLD, "$.and[0]"),
    ]
    last = tagged("mixed", "last_received_with_tag", after="P1D")
    assert len(accepted(last).excluded_expired) == 2


@pytest.mark.parametrize(
    "tree",
    [
        tagged("mixed", has=False),
        {"not": tagged("mixed")},
        tagged("mixed", "last_received_with_tag", before="P1D"),
        {"not": tagged("mixed", "last_received_with_tag", before="P1D", has=False)},
    ],
)
def test_tags_fail_closed_if_hidden_data_could_remove_a_user(tree: Any) -> None:
    found = refused(tree)
    assert (found.code, found.sources) == (Code.SOURCE_HIDDEN, (BACK, OLD))
    assert found.restore == {"sources": [OLD]}


def test_legacy_deleted_sources_of_a_tag() -> None:
    found = accepted(tagged("lost"))
    assert (found.pins, [one.source for one in found.excluded_expired]) == ({HOT: 3}, [GONE])
    assert refused(tagged("lost", has=False)).code is Code.LEGACY_DELETED


def test_polarity_passes_through_segments_and_places_name_the_way() -> None:
    inner = {"or": [received("hot"), received("old", has=False)]}
    found = accepted({"not": segment("s")}, exclude=True, s=inner)
    (one,) = found.excluded_expired
    assert one.at == FilterPath("$.not", ("segment:s",), "$.or[1]")
    assert str(one.at) == "$.not (segment:s: $.or[1])"
    assert refused(segment("s"), exclude=True, s=inner).code is Code.SOURCE_HIDDEN
    twice = accepted({"not": segment("t")}, exclude=True, s=inner, t={"and": [segment("s")]})
    assert twice.excluded_expired[0].at.through == ("segment:t", "segment:s")


def test_segments_in_a_circle_are_refused() -> None:
    found = refused(segment("s"), s=segment("t"), t={"not": segment("s")})
    assert found.code is Code.SEGMENT_CYCLE
    assert "segment:s > segment:t > segment:s" in found.detail


@pytest.mark.parametrize(
    "inner",
    [None, {"filter": "custom_attribute"}, {"and": 3}, received("hot", after="P1D", before="P0D")],
)
def test_a_segment_that_cannot_be_read_says_nothing_about_anybody(inner: Any) -> None:
    found = refused(segment("s", has=False), s=inner)
    assert (found.code, found.refusals[0].at) == (Code.UNREADABLE_SEGMENT, FilterPath("$"))


def test_segments_that_multiply_or_nest_too_far_are_refused() -> None:
    doubling = {f"s{n}": {"or": [segment(f"s{n + 1}")] * 2} for n in range(60)}
    found = refused(segment("s0"), **doubling, s60=received("hot"))
    assert [one.code for one in found.refusals] == [Code.TOO_LARGE]
    chain = {f"s{n}": segment(f"s{n + 1}") for n in range(MAX_EXPANDED_DEPTH + 5)}
    assert refused(segment("s0"), **chain).code is Code.TOO_LARGE


def test_unknown_leaves_of_a_definition_are_refused_where_it_is_planned() -> None:
    node = parse({"and": [{"filter": "custom_attribute"}, received("old")]}, opaque=True)
    found = plan(node, FixedPlanFacts(SOURCES), now_ms=NOW)
    assert isinstance(found, Refused)
    assert [one.code for one in found.refusals] == [Code.UNKNOWN_FILTER, Code.SOURCE_HIDDEN]


def test_an_unknown_source_with_the_tag_is_refused() -> None:
    plan_facts = FixedPlanFacts({}, {}, {"t": ["campaign:x"]})
    found = plan(parse(tagged("t")), plan_facts, now_ms=NOW)
    assert isinstance(found, Refused)
    assert found.code is Code.UNKNOWN_SOURCE


def test_a_still_world_knows_its_segments() -> None:
    plan_facts = FixedPlanFacts(segments={"segment:s": None})
    assert plan_facts.segment("segment:s") == SegmentView(None)
    assert plan_facts.segment("segment:t") is None


class Crowd:
    """A thousand sources with one tag, and how often they were looked up."""

    def __init__(self, state: State) -> None:
        self.sources = {f"campaign:{at:04}": SourceView(state, 1) for at in range(1_000)}
        self.asked: list[str] = []

    def source(self, key: str) -> SourceView | None:
        self.asked.append(key)
        return self.sources.get(key)

    def segment(self, key: str) -> SegmentView | None:
        return SegmentView(json.dumps({"or": [tagged("crowd")] * 30}))

    def tagged(self, tag: str) -> list[str]:
        self.asked.append(tag)
        return list(self.sources)


@pytest.mark.parametrize("state", [State.EXPIRED, State.ACTIVE])
@pytest.mark.parametrize("name", ["last_received_with_tag", "received_with_tag"])
def test_leaves_may_not_ask_any_number_of_sources(state: State, name: str) -> None:
    leaf = tagged("crowd", name, before="P1D")
    most, plan_facts = MAX_PAIRS // 1_000, Crowd(state)
    found = plan(parse({"or": [leaf] * most}), plan_facts, now_ms=NOW)
    # each source is looked up once, and so is the tag
    assert len(plan_facts.asked) == 1_001
    if isinstance(found, Refused):
        assert (state, name) == (State.EXPIRED, "last_received_with_tag")
        assert "campaign:0009 is EXPIRED and 990 more" in found.refusals[0].detail
        assert len(found.refusals) == most
        assert len(found.detail) < 10_000
        assert "and 40 more" in found.detail
    with pytest.raises(FilterError, match="50,000") as caught:
        plan(parse({"or": [leaf] * (most + 2)}), plan_facts, now_ms=NOW)
    assert (caught.value.path, caught.value.code) == (f"$.or[{most}]", "too_large")


def test_too_many_sources_through_segments_name_the_segments_position() -> None:
    tree = {"or": [segment("s"), {"not": segment("s")}]}
    with pytest.raises(FilterError, match=r"segment:s.* 51,000") as caught:
        plan(parse(tree), Crowd(State.ACTIVE), now_ms=NOW)
    assert (caught.value.path, caught.value.code) == ("$.or[1].not", "too_large")


def test_a_long_argument_does_not_make_a_long_refusal() -> None:
    step = {"filter": "received_from_step", "canvas": "c", "step": "x" * 100_000}
    assert len(refused(step).detail) < 3_000
