"""The oracle, checked against the contract's table of kinds by examples."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.tools.oracle import Expected, Key, counts, expect, refusal, row_key, rows_of

TIME = 1_760_000_000_000
BASE = {"id": "1", "user_id": "u", "time": TIME}
CAMPAIGN = BASE | {"campaign_id": "c", "message_variation_id": "v", "canvas_variation_id": "no"}
CANVAS = BASE | {"canvas_id": "j", "canvas_step_id": "s", "canvas_variation_id": "w"}

EXAMPLES: list[tuple[str, dict[str, Any], set[Key]]] = [
    ("send", CAMPAIGN | {"channel": "SMS"},
     {("campaign:c", "u", "received", "SMS", None, "v", None)}),
    ("send", CANVAS, {("canvas:j", "u", "received", "OTHER", "s", "w", None)}),
    ("open", CAMPAIGN, {("campaign:c", "u", "opened", "OTHER", None, "v", None)}),
    ("open", CANVAS | {"machine_open": True},
     {("canvas:j", "u", "machine_opened", "OTHER", "s", "w", None)}),
    ("click", CAMPAIGN | {"link_alias": "a"},
     {("campaign:c", "u", "clicked", "OTHER", None, "v", "a")}),
    ("click", CAMPAIGN | {"is_suspected_bot_click": True},
     {("campaign:c", "u", "bot_clicked", "OTHER", None, "v", None)}),
    ("variant", CAMPAIGN, {("campaign:c", "u", "entered", None, None, "v", None)}),
    ("variant", CAMPAIGN | {"in_control_group": True},
     {("campaign:c", "u", k, None, None, "v", None) for k in ("entered", "control")}),
    ("variant", CANVAS | {"exited": True, "in_control_group": True},
     {("canvas:j", "u", "exited", None, "s", "w", None)}),
    ("conversion", CANVAS | {"conversion_behavior_index": 3},
     {("canvas:j", "u", "converted", None, "s", "w", "3")}),
    ("conversion", CAMPAIGN, {("campaign:c", "u", "converted", None, None, "v", "0")}),
    ("signal", CAMPAIGN | {"signal_type": "FEED_VIEW"}, set()),
    ("send", BASE, set()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "event", "keys"), EXAMPLES)
def test_what_an_event_makes(name: str, event: dict[str, Any], keys: set[Key]) -> None:
    assert expect([(name, event)]) == dict.fromkeys(keys, (TIME, TIME))


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_first_and_last(times: list[int]) -> None:
    rows = expect(("send", CAMPAIGN | {"time": TIME + t}) for t in times)
    assert list(rows.values()) == [(TIME + min(times), TIME + max(times))]


def test_sums_and_parts() -> None:
    expected = Expected()
    for name, event, _ in EXAMPLES:
        expected.add(name, event)
    assert counts(expected.interactions) == {"campaign:c": 7, "canvas:j": 4}
    assert len(rows_of(expected.interactions, "canvas:j")) == 4
    assert expected.users == {"u"}
    key = next(iter(expected.interactions))
    names = ("source", "user", "kind", "channel", "step", "variation", "detail")
    assert row_key(dict(zip(names, key, strict=True))) == key


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"time": TIME // 1000}, "bad_time"),
        ({"time": TIME + 86_400_000}, None),
        ({"time": TIME + 86_400_001}, "bad_time"),
        ({"canvas_id": "x"}, "two_sources"),
        ({"link_alias": "x" * 513}, "too_long"),
        ({"link_alias": "ü" * 257}, "too_long"),
        ({"user_id": None}, "missing_field"),
    ],
)
def test_refusals(change: dict[str, Any], code: str | None) -> None:
    assert refusal(CAMPAIGN | change, TIME) == code
