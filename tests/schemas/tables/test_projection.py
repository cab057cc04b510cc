from typing import Any

import polars as pl
import pytest

from schemas.decode.decoder import decode
from schemas.records import codec
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import PROFILE, PROFILE_SCHEMA, unpack, wide
from schemas.tables.projection import FIELDS, VIEWS, with_control
from tests.rigs.record_batches import NOW, Produced, batch


def events(event: str, *fields: dict[str, Any]) -> pl.DataFrame:
    values = [
        codec.encode(event, {"id": f"id{i}", "user_id": f"u{i}", "time": NOW + i, **one})
        for i, one in enumerate(fields)
    ]
    found = decode([batch([Produced(value) for value in values])], event, columns=WANTED[event])
    assert not found.rejects
    return found.frame.sort("offset")


def rows(event: str, *fields: dict[str, Any]) -> pl.DataFrame:
    found = with_control(events(event, *fields).select(VIEWS[event].build(pl.col)))
    return found.drop("id", "held_out", "external")


def sourced(event: str, *fields: dict[str, Any]) -> pl.DataFrame:
    return rows(event, *fields).filter(pl.col("source") != PROFILE)


WANTED = {event: {"id", *fields} for event, fields in FIELDS.items()}
C = {"campaign_id": "c1"}

INTERACTIONS: list[tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = [
    ("send", C, [("campaign:c1", "received", "OTHER", None, None, None)]),
    (
        "send",
        {
            "canvas_id": "k1",
            "canvas_step_id": "s1",
            "channel": "SMS",
            "canvas_variation_id": "v1",
            "message_variation_id": "m1",
        },
        [("canvas:k1", "received", "SMS", "s1", "v1", None)],
    ),
    (
        "send",
        {**C, "message_variation_id": "m1", "canvas_variation_id": "v1"},
        [("campaign:c1", "received", "OTHER", None, "m1", None)],
    ),
    (
        "send",
        {"canvas_id": "k1", "message_variation_id": "m1"},
        [("canvas:k1", "received", "OTHER", None, None, None)],
    ),
    ("send", {}, []),
    (
        "send",
        {"campaign_id": "campaign:c1"},
        [("campaign:c1", "received", "OTHER", None, None, None)],
    ),
    ("open", {"canvas_id": "canvas:k1"}, [("canvas:k1", "opened", "OTHER", None, None, None)]),
    ("open", {"campaign_id": "c:1"}, [("campaign:c:1", "opened", "OTHER", None, None, None)]),
    ("open", C, [("campaign:c1", "opened", "OTHER", None, None, None)]),
    (
        "open",
        {**C, "machine_open": False, "channel": "PUSH"},
        [("campaign:c1", "opened", "PUSH", None, None, None)],
    ),
    (
        "open",
        {**C, "machine_open": True},
        [("campaign:c1", "machine_opened", "OTHER", None, None, None)],
    ),
    (
        "click",
        {**C, "link_alias": "cta", "url": "https://example.org"},
        [("campaign:c1", "clicked", "OTHER", None, None, "cta")],
    ),
    (
        "click",
        {**C, "is_suspected_bot_click": True},
        [("campaign:c1", "bot_clicked", "OTHER", None, None, None)],
    ),
    ("variant", C, [("campaign:c1", "entered", None, None, None, None)]),
    (
        "variant",
        {**C, "in_control_group": True, "message_variation_id": "m"},
        [
            ("campaign:c1", "control", None, None, "m", None),
            ("campaign:c1", "entered", None, None, "m", None),
        ],
    ),
    (
        "variant",
        {"canvas_id": "k", "in_control_group": True, "exited": True},
        [("canvas:k", "exited", None, None, None, None)],
    ),
    ("conversion", C, [("campaign:c1", "converted", None, None, None, "0")]),
    (
        "conversion",
        {**C, "conversion_behavior_index": 3},
        [("campaign:c1", "converted", None, None, None, "3")],
    ),
    ("signal", {**C, "signal_type": "FEED_VIEW"}, []),
]


@pytest.mark.parametrize(("event", "fields", "expected"), INTERACTIONS)
def test_interactions(event: str, fields: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    found = sourced(event, fields)

    assert found.schema == SCHEMA
    made = found.sort(pl.col("kind").cast(pl.String)).rows()
    assert made == [(one[0], "u0", *one[1:], NOW, NOW) for one in expected]


def test_events_without_a_source_are_left_out_among_others() -> None:
    found = sourced("variant", C, {}, {**C, "in_control_group": True})

    assert sorted(found.select("user", "kind").rows()) == [
        ("u0", "entered"),
        ("u2", "control"),
        ("u2", "entered"),
    ]


PROFILES: list[tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = [
    ("send", {"channel": "EMAIL"}, [("received", "EMAIL", None, None, False)]),
    ("click", {**C, "link_alias": "a"}, [("clicked", "OTHER", "campaign", "a", False)]),
    (
        "variant",
        {"canvas_id": "k", "in_control_group": True},
        [("control", None, "canvas", None, False), ("entered", None, "canvas", None, False)],
    ),
    ("conversion", C, [("converted", None, "campaign", "0", False)]),
    (
        "signal",
        {"signal_type": "FEATURE_FLAG", "value": "f", "cleared": True},
        [("feature_flag", None, None, "f", True)],
    ),
    ("signal", {"signal_type": "HARD_BOUNCE"}, [("hard_bounce", None, None, None, False)]),
    ("signal", {**C, "value": "x"}, [("other", None, "campaign", "x", False)]),
]


@pytest.mark.parametrize(("event", "fields", "expected"), PROFILES)
def test_profile_rows(event: str, fields: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    found = unpack(wide(rows(event, fields)))

    assert found.schema == PROFILE_SCHEMA
    made = found.sort(pl.col("kind").cast(pl.String)).rows()
    assert made == [("u0", *one, NOW, NOW) for one in expected]


def test_every_signal_has_a_kind() -> None:
    signals = ["HARD_BOUNCE", "SPAM_REPORT", "INVALID_PHONE", "INBOUND_KEYWORD"]
    signals += ["FEED_VIEW", "FEATURE_FLAG", "OTHER"]

    found = rows("signal", *({"signal_type": s} for s in signals))

    assert found["kind"].to_list() == [signal.lower() for signal in signals]
