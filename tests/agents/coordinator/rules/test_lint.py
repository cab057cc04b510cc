"""Definitions that use expired or legacy-deleted sources, or cannot be answered at all."""

import json
from typing import Any

import pytest

from agents.coordinator.rules.lint import LintFinding, lint
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from schemas.records.lifecycle import Definition, State, Status

HIDDEN = "campaign:hidden"
OLD = "campaign:old"
SOURCES = {
    HIDDEN: SourceView(State.EXPIRED, 3),
    "canvas:moving": SourceView(State.RESTORING, 3),
    OLD: SourceView(State.STOPPED, 3, legacy_deleted=True),
    "campaign:hot": SourceView(State.ACTIVE, 3, variations=frozenset("v")),
}
TAGS = {"mixed": ["campaign:hot", HIDDEN], "warm": ["campaign:hot"]}
DAY = 86_400_000


def defined(key: str, filters: Any = None, **facts: Any) -> Definition:
    text = filters if isinstance(filters, str) or filters is None else json.dumps(filters)
    return Definition(key, Status.ACTIVE, filters=text, **facts)


def received(name: str) -> dict[str, str]:
    return {"filter": "received_from_campaign", "campaign": name}


def tagged(name: str, tag: str, **more: Any) -> dict[str, Any]:
    return {"filter": name, "tag": tag, **more}


def within(name: str) -> dict[str, str]:
    return {"filter": "in_segment", "segment": name}


def found_in(definition: Definition) -> list[LintFinding]:
    """Its findings, in a catalog that has it."""
    catalog = SEGMENTS | {definition.key: definition}
    texts = {key: each.filters for key, each in catalog.items() if each.kind == "segment"}
    plan_facts = FixedPlanFacts(SOURCES, texts, TAGS)
    return list(lint(definition, catalog, plan_facts, 1_000 * DAY))


SEGMENTS = {
    each.key: each
    for each in (
        defined("segment:in", received("hidden")),
        defined("segment:out", {"filter": "in_segment", "segment": "in"}),
        defined("segment:round", {"filter": "in_segment", "segment": "round"}),
        defined("segment:told", received("hot"), references=(OLD,)),
        defined("segment:broken", {"and": [7]}),
    )
}


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        (defined("canvas:x", received("hot")), []),
        (defined("canvas:x"), []),
        (defined("canvas:x", {"filter": "custom_attribute", "name": "city", "value": "Bonn"}), []),
        (defined("canvas:x", tagged("received_with_tag", "mixed")), []),
        (defined("canvas:x", tagged("last_received_with_tag", "mixed", after="P1D")), []),
        (
            defined("canvas:x", {"not": tagged("received_with_tag", "mixed")}),
            [LintFinding("canvas:x", "$.filters.not", HIDDEN, "EXPIRED")],
        ),
        (
            defined("canvas:x", tagged("last_received_with_tag", "mixed", before="P1D")),
            [LintFinding("canvas:x", "$.filters", HIDDEN, "EXPIRED")],
        ),
        (
            defined("canvas:x", {"or": [within("in"), within("in")]}),
            [
                LintFinding("canvas:x", "$.filters.or[0]", HIDDEN, "EXPIRED", ("segment:in",)),
                LintFinding("canvas:x", "$.filters.or[1]", HIDDEN, "EXPIRED", ("segment:in",)),
            ],
        ),
        (
            defined("canvas:x", within("told")),
            [LintFinding("canvas:x", "$.filters", OLD, "legacy-deleted", ("segment:told",))],
        ),
        (
            defined("canvas:x", {"and": [received("hot"), {"not": received("hidden")}]}),
            [LintFinding("canvas:x", "$.filters.and[1].not", HIDDEN, "EXPIRED")],
        ),
        (
            defined("canvas:x", {"filter": "in_segment", "segment": "out"}),
            [
                LintFinding(
                    "canvas:x", "$.filters", HIDDEN, "EXPIRED", ("segment:out", "segment:in")
                )
            ],
        ),
        (
            defined("canvas:x", references=("campaign:old", "canvas:moving")),
            [
                LintFinding("canvas:x", "$.references[0]", "campaign:old", "legacy-deleted"),
                LintFinding("canvas:x", "$.references[1]", "canvas:moving", "RESTORING"),
            ],
        ),
        (
            defined("canvas:x", {"and": [7]}),
            [LintFinding("canvas:x", "$.filters.and[0]", "a filter is an object", "unreadable")],
        ),
    ],
)
def test_findings(definition: Definition, found: list[LintFinding]) -> None:
    assert found_in(definition) == found


@pytest.mark.parametrize(
    ("definition", "path", "what", "words"),
    [
        (defined("canvas:x", within("none")), "$.filters", "unknown_segment", "no segment:none"),
        (defined("canvas:x", within("round")), "$.filters", "segment_cycle", "form a cycle"),
        (defined("segment:round", within("round")), "$.filters", "segment_cycle", "form a cycle"),
        (defined("canvas:x", within("broken")), "$.filters", "unreadable_segment", "$.and[0]"),
        (defined("canvas:x", tagged("received_with_tag", "none")), "$.filters", "unknown_tag",
         "'none'"),
        (defined("canvas:x", received("none")), "$.filters", "unknown_source", "campaign:none"),
        (defined("canvas:x", {"filter": "received_campaign_variant", "campaign": "hot",
                              "variation": "w"}), "$.filters", "unknown_variation", "'w'"),
        (defined("canvas:x", {"not": received("hot") | {"filter": "recieved_from_campaign"}}),
         "$.filters.not", "unknown_filter", "'recieved_from_campaign'"),
        (defined("canvas:x", {"and": [received("hot") | {"campain": "x"}]}),
         "$.filters.and[0].campain", "unreadable", "campain"),
        (defined("canvas:x", received("hot") | {"after": "P1D", "before": "P2D"}), "$.filters",
         "unreadable", "before"),
        (defined("canvas:x", "{"), "$.filters", "unreadable", "not JSON"),
    ],
)  # fmt: skip
def test_what_an_audience_would_refuse_is_found(
    definition: Definition, path: str, what: str, words: str
) -> None:
    (found,) = found_in(definition)
    assert (found.key, found.path, found.what) == (definition.key, path, what)
    assert words in found.source


def test_one_fault_does_not_hide_another() -> None:
    for wrong in ({"filter": "recieved_from_campaign"}, received("hot") | {"campain": "x"}):
        definition = defined("canvas:x", {"and": [wrong, received("hidden")]}, references=(OLD,))
        found = found_in(definition)
        assert len(found) == 3
        assert {each.source for each in found} >= {HIDDEN, OLD}
