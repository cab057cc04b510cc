"""Definitions that rest on what is expired or legacy-deleted."""

import json
from typing import Any

import pytest

from agents.rules.lint import Finding, lint
from schemas.lifecycle import Definition, SourceState, State, Status

HIDDEN = "campaign:hidden"
STATES = {
    HIDDEN: SourceState(HIDDEN, State.EXPIRED, 3),
    "canvas:moving": SourceState("canvas:moving", State.RESTORING, 3),
    "campaign:old": SourceState("campaign:old", State.STOPPED, 3, legacy_deleted=True),
    "campaign:hot": SourceState("campaign:hot", State.ACTIVE, 3),
}


def defined(key: str, filters: Any = None, **facts: Any) -> Definition:
    text = filters if isinstance(filters, str) or filters is None else json.dumps(filters)
    return Definition(key, Status.ACTIVE, filters=text, **facts)


def received(name: str) -> dict[str, str]:
    return {"filter": "received_from_campaign", "campaign": name}


SEGMENTS = {
    each.key: each
    for each in (
        defined("segment:in", received("hidden")),
        defined("segment:out", {"filter": "in_segment", "segment": "in"}),
        defined("segment:round", {"filter": "in_segment", "segment": "round"}),
    )
}


@pytest.mark.parametrize(
    ("definition", "found"),
    [
        (defined("canvas:x", received("hot")), []),
        (defined("canvas:x", {"filter": "received_with_tag", "tag": "t"}), []),
        (defined("canvas:x", {"filter": "in_segment", "segment": "round"}), []),
        (
            defined("canvas:x", {"and": [received("hot"), {"not": received("hidden")}]}),
            [Finding("canvas:x", "$.filters.and[1].not", HIDDEN, "EXPIRED")],
        ),
        (
            defined("canvas:x", {"filter": "in_segment", "segment": "out"}),
            [Finding("canvas:x", "$.filters", HIDDEN, "EXPIRED", ("segment:out", "segment:in"))],
        ),
        (
            defined("canvas:x", references=("campaign:old", "canvas:moving")),
            [
                Finding("canvas:x", "$.references[0]", "campaign:old", "legacy-deleted"),
                Finding("canvas:x", "$.references[1]", "canvas:moving", "RESTORING"),
            ],
        ),
        (
            defined("canvas:x", {"and": [7]}),
            [Finding("canvas:x", "$.filters.and[0]", "a filter is an object", "unreadable")],
        ),
    ],
)
def test_findings(definition: Definition, found: list[Finding]) -> None:
    assert list(lint(definition, SEGMENTS, STATES)) == found


def test_a_definition_may_say_itself_that_it_is_legacy_deleted() -> None:
    catalog = {"campaign:gone": defined("campaign:gone", legacy_deleted=True)}
    (found,) = lint(defined("canvas:x", received("gone")), catalog, {})
    assert str(found) == "canvas:x $.filters campaign:gone (legacy-deleted)"
