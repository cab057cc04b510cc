"""The tables of the filter language, row by row, as examples.

Each example has events, the filter, and the matching users. The roster is ann, bob, cy and dee.
"""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import polars as pl
import pytest

from agents.filters.evaluation import evaluate
from agents.filters.parsing import parse
from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from tests.rigs.filters.brute import NOW, Event, Facts, millis
from tests.rigs.filters.shard import Shard

ROSTER = {"ann", "bob", "cy", "dee"}
WORLD = FixedPlanFacts(
    sources={key: SourceView() for key in ("campaign:a", "campaign:b", "canvas:c")},
    tags={"t": ["campaign:a", "canvas:c"]},
)
DAY = 86_400_000


def on(day: int) -> str:
    """A time of March 2026, as a filter writes it."""
    return f"2026-03-{day:02}T00:00:00Z"


def event(user: str, kind: str, day: int = 10, source: str | None = "campaign:a", /,
          **parts: Any) -> Event:  # fmt: skip
    """Something on that day of March 2026."""
    known: dict[str, Any] = dict.fromkeys(("channel", "step", "variation", "detail"))
    return Event(source, user, kind, **{**known, "cleared": False, **parts}, time=millis(on(day)))


def who(leaf: dict[str, Any], *events: Event, views: dict[str, int] | None = None) -> str:
    """The users that match, in order."""
    found = plan(parse(leaf), WORLD, now_ms=millis(NOW))
    assert isinstance(found, FilterPlan), found
    shard = Shard(Facts(ROSTER, list(events), views=views or {}), Random(7))
    return " ".join(sorted(evaluate(found, shard)))


def campaign(name: str, **more: Any) -> dict[str, Any]:
    """A filter on campaign a."""
    return {"filter": name, "campaign": "a", **more}


def canvas(name: str, **more: Any) -> dict[str, Any]:
    """A filter on Canvas c."""
    return {"filter": name, "canvas": "c", **more}


CLICKS = (
    event("ann", "clicked", detail="home"),
    event("bob", "clicked", detail="buy"),
    event("cy", "bot_clicked", detail="home"),
    event("dee", "clicked", 10, "campaign:b", detail="home"),
)


def test_clicked_alias_in_campaign() -> None:
    leaf = campaign("clicked_alias_in_campaign", alias="home")
    assert who(leaf, *CLICKS) == "ann"
    assert who({**leaf, "has": False}, *CLICKS) == "bob cy dee"
    assert who(campaign("clicked_alias_in_campaign"), *CLICKS) == "ann bob"


def test_clicked_alias_in_canvas_step() -> None:
    clicks = [
        event("ann", "clicked", 10, "canvas:c", step="s", detail="home"),
        event("bob", "clicked", 10, "canvas:c", step="t", detail="home"),
        event("cy", "clicked", 10, "canvas:c", step="s"),
    ]
    leaf = canvas("clicked_alias_in_canvas_step", step="s")
    assert who(leaf, *clicks) == "ann"
    assert who({**leaf, "alias": "home"}, *clicks) == "ann"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("opened", "ann bob"),
        ("opened_person", "ann"),
        ("opened_machine", "bob"),
        ("clicked", "cy"),
        ("any", "ann bob cy"),
    ],
)
def test_clicked_opened(action: str, expected: str) -> None:
    kinds = ("opened", "machine_opened", "clicked", "bot_clicked")
    for leaf, source in (
        (campaign("clicked_opened_campaign"), "campaign:a"),
        (canvas("clicked_opened_step", step="s"), "canvas:c"),
        ({"filter": "clicked_opened_with_tag", "tag": "t"}, "canvas:c"),
    ):
        done = [
            event(user, kind, 10, source, step="s", channel="EMAIL")
            for user, kind in zip(sorted(ROSTER), kinds, strict=True)
        ]
        assert who({**leaf, "action": action}, *done) == expected
        assert who({**leaf, "action": action, "channel": "EMAIL"}, *done) == expected
        assert who({**leaf, "action": action, "channel": "PUSH"}, *done) == ""


def test_converted_from_a_campaign_counts_for_its_latest_message() -> None:
    events = [
        event("ann", "received", 1), event("ann", "converted", 2, detail="0"),
        event("bob", "received", 1), event("bob", "converted", 2, detail="0"),
        event("bob", "received", 3),
        event("cy", "received", 2), event("cy", "converted", 2, detail="1"),
        event("dee", "converted", 2, detail="0"), event("dee", "control", 1),
    ]  # fmt: skip
    leaf = campaign("converted_from_campaign")
    assert who(leaf, *events) == "ann"
    assert who({**leaf, "index": 1}, *events) == "cy"
    assert who({**leaf, "index": "any"}, *events) == "ann cy"
    assert who({**leaf, "index": "any", "has": False}, *events) == "bob dee"


def test_a_conversion_without_any_receipt_counts() -> None:
    assert who(campaign("converted_from_campaign"), event("ann", "converted", detail="0")) == "ann"


def test_converted_from_a_canvas_ever() -> None:
    events = [
        event("ann", "converted", 2, "canvas:c", detail="0"),
        event("ann", "received", 3, "canvas:c"),
        event("bob", "converted", 2, "canvas:c", detail="0"),
        event("bob", "control", 1, "canvas:c"),
    ]
    assert who(canvas("converted_from_canvas"), *events) == "ann"


def test_entered_canvas_variation_with_the_control_group() -> None:
    events = [
        event("ann", "entered", 1, "canvas:c", variation="v"),
        event("bob", "entered", 1, "canvas:c"), event("bob", "control", 1, "canvas:c"),
        event("cy", "exited", 1, "canvas:c", variation="v"),
    ]  # fmt: skip
    assert who(canvas("entered_canvas_variation"), *events) == "ann bob"
    assert who(canvas("entered_canvas_variation", variation="v"), *events) == "ann"


@pytest.mark.parametrize(
    ("leaf", "source", "expected"),
    [
        (campaign("in_campaign_control_group"), "campaign:a", "ann cy dee"),
        (canvas("in_canvas_control_group"), "canvas:c", "ann cy"),
    ],
)
def test_outside_the_control_group_is_everybody_of_a_campaign_and_who_entered_a_canvas(
    leaf: dict[str, Any], source: str, expected: str
) -> None:
    events = [
        event("ann", "entered", 1, source),
        event("bob", "entered", 1, source),
        event("bob", "control", 1, source),
        event("cy", "received", 1, source, variation="v"),
        event("dee", "received", 1, source),
        event("dee", "exited", 2, source, variation="v"),
    ]
    assert who(leaf, *events) == "bob"
    assert who({**leaf, "has": False}, *events) == expected
    assert who({"not": leaf}, *events) == "ann cy dee"


LAST: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (campaign("last_received_from_campaign"), {"kind": "received"}),
    (canvas("last_received_from_step", step="s"),
     {"kind": "received", "source": "canvas:c", "step": "s"}),
    ({"filter": "last_received_with_tag", "tag": "t"}, {"kind": "received"}),
    ({"filter": "last_received_any"}, {"kind": "received", "source": None, "channel": "LINE"}),
    ({"filter": "last_received_email"}, {"kind": "received", "channel": "EMAIL"}),
    ({"filter": "last_received_push"}, {"kind": "received", "channel": "PUSH"}),
    ({"filter": "last_received_sms"}, {"kind": "received", "channel": "SMS"}),
    ({"filter": "last_received_webhook"}, {"kind": "received", "channel": "WEBHOOK"}),
    ({"filter": "last_received_whatsapp"}, {"kind": "received", "channel": "WHATSAPP"}),
    ({"filter": "last_in_app_impression"}, {"kind": "received", "channel": "IN_APP"}),
    ({"filter": "last_engaged"}, {"kind": "clicked", "channel": "EMAIL"}),
    ({"filter": "last_engaged", "by": "machine"}, {"kind": "machine_opened", "channel": "SMS"}),
    ({"filter": "last_engaged", "channel": "SMS"}, {"kind": "opened", "channel": "SMS"}),
    ({"filter": "last_viewed_feed"}, {"kind": "feed_view", "source": None}),
    ({"filter": "last_enrolled_in_any_control_group"}, {"kind": "control"}),
    ({"filter": "last_inbound_keyword_category", "category": "STOP"},
     {"kind": "inbound_keyword", "source": None, "detail": "STOP"}),
    ({"filter": "last_inbound_keyword_category", "category": "STOP", "subscription_group": "g"},
     {"kind": "inbound_keyword", "source": None, "detail": "STOP:g"}),
]  # fmt: skip


@pytest.mark.parametrize(("leaf", "what"), LAST)
def test_the_last_time_decides(leaf: dict[str, Any], what: dict[str, Any]) -> None:
    def happened(user: str, day: int) -> Event:
        parts = {"source": "campaign:a", **what}
        return event(user, parts.pop("kind"), day, parts.pop("source"), **parts)

    events = [
        happened("ann", 5),
        happened("bob", 5), happened("bob", 20),
        happened("cy", 20),
    ]  # fmt: skip
    assert who({**leaf, "before": on(10)}, *events) == "ann"
    assert who({**leaf, "after": on(10)}, *events) == "bob cy"
    assert who({**leaf, "after": on(5), "before": on(20)}, *events) == "ann"
    assert who({**leaf, "after": "P12D", "before": "P11D"}, *events) == "bob cy"
    # Who never had one is false for both bounds, and so in the complement of both.
    assert who({**leaf, "before": on(10), "has": False}, *events) == "bob cy dee"
    assert who({**leaf, "after": on(10), "has": False}, *events) == "ann dee"


def test_what_the_last_filters_do_not_count() -> None:
    leaf = {"filter": "last_engaged", "after": on(1)}
    assert who(leaf, event("ann", "received"), event("bob", "bot_clicked")) == ""
    assert who({**leaf, "by": "person"}, event("ann", "machine_opened")) == ""
    leaf = {"filter": "last_enrolled_in_any_control_group", "after": on(1)}
    assert who(leaf, event("ann", "control", 10, "canvas:c")) == ""
    leaf = {"filter": "last_inbound_keyword_category", "category": "STOP", "after": on(1)}
    assert who(leaf, event("ann", "inbound_keyword", 10, None, detail="STOPPED")) == ""


@pytest.mark.parametrize(
    ("leaf", "parts"),
    [
        (campaign("received_from_campaign"), {"source": "campaign:a"}),
        (canvas("received_from_step", step="s"), {"source": "canvas:c", "step": "s"}),
        ({"filter": "received_with_tag", "tag": "t"}, {"source": "canvas:c"}),
    ],
)
def test_received_at_some_time_on_that_side(leaf: dict[str, Any], parts: dict[str, Any]) -> None:
    source = parts["source"]
    step = {"step": parts["step"]} if "step" in parts else {}
    events = [
        event("ann", "received", 5, source, **step),
        event("bob", "received", 5, source, **step), event("bob", "received", 20, source, **step),
        event("cy", "received", 20, source, **step),
        event("dee", "received", 20, "campaign:b"),
    ]  # fmt: skip
    assert who(leaf, *events) == "ann bob cy"
    assert who({**leaf, "before": on(10)}, *events) == "ann bob"
    assert who({**leaf, "after": on(10)}, *events) == "bob cy"
    assert who({**leaf, "after": on(20)}, *events) == "bob cy"
    assert who({**leaf, "before": on(5)}, *events) == ""
    assert who({**leaf, "has": False}, *events) == "dee"


def test_received_campaign_variant() -> None:
    events = [event("ann", "received", variation="v"), event("bob", "received", variation="w")]
    events.append(event("cy", "entered", variation="v"))
    assert who(campaign("received_campaign_variant", variation="v"), *events) == "ann"


def test_never_received_counts_receipts_of_every_source_and_of_none() -> None:
    events = [event("ann", "received", 1, "canvas:expired"), event("bob", "received", 1, None)]
    assert who({"filter": "never_received"}, *events, event("cy", "opened")) == "cy dee"
    assert who({"filter": "never_received", "has": False}, *events) == "ann bob"


def test_clicked_alias_in_any() -> None:
    assert who({"filter": "clicked_alias_in_any", "alias": "home"}, *CLICKS) == "ann dee"


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        ({"filter": "feature_flag", "flag": "f"}, "feature_flag"),
        ({"filter": "hard_bounced"}, "hard_bounce"),
        ({"filter": "marked_spam"}, "spam_report"),
        ({"filter": "invalid_phone"}, "invalid_phone"),
    ],
)
def test_facts_are_set_and_not_cleared_since(leaf: dict[str, Any], kind: str) -> None:
    def told(user: str, day: int, cleared: bool = False, value: str = "f") -> Event:
        return event(user, kind, day, None, detail=value, cleared=cleared)

    events = [
        told("ann", 1),
        told("bob", 1), told("bob", 2, True),
        told("cy", 1), told("cy", 2, True), told("cy", 3),
        told("dee", 2), told("dee", 2, True),
    ]  # fmt: skip
    assert who(leaf, *events) == "ann cy"
    assert who({**leaf, "has": False}, *events) == "bob dee"
    # Clearing one value leaves the others standing.
    other = [told("ann", 1), told("ann", 2, True, "g")]
    assert who(leaf, *other) == "ann"


@pytest.mark.parametrize(
    ("comparator", "n", "expected"),
    [
        (">", 2, "bob"),
        (">=", 2, "ann bob"),
        ("=", 2, "ann"),
        ("=", 0, "cy dee"),
        ("!=", 2, "bob cy dee"),
        ("<", 1, "cy dee"),
        ("lte", 2, "ann cy dee"),
    ],
)
def test_feed_view_count(comparator: str, n: int, expected: str) -> None:
    leaf = {"filter": "feed_view_count", "comparator": comparator, "n": n}
    assert who(leaf, views={"ann": 2, "bob": 3, "gone": 9}) == expected


def test_rows_of_deleted_and_merged_users_are_ignored() -> None:
    assert who(campaign("received_from_campaign"), event("gone", "received")) == ""
    assert who({"not": {"filter": "never_received"}}, event("gone", "received")) == ""


def test_everybody_and_nobody() -> None:
    assert who({"and": []}) == "ann bob cy dee"
    assert who({"or": []}) == ""


def test_a_roster_of_nobody() -> None:
    node = parse({"not": campaign("received_from_campaign")})
    found = plan(node, WORLD, now_ms=millis(NOW))
    assert isinstance(found, FilterPlan)
    users = evaluate(found, Shard(Facts(set(), [event("ann", "received")]), Random(7)))
    assert users.to_list() == []
    assert users.dtype == pl.String


def test_a_deep_and_wide_filter() -> None:
    tree: dict[str, Any] = {
        "or": [campaign("received_from_campaign", after=f"PT{n}M") for n in range(900)]
    }
    for _ in range(30):
        tree = {"not": tree}
    assert who(tree, event("ann", "received", 31), event("bob", "received", 30)) == "ann"


def test_jobs_may_run_in_threads() -> None:
    leaves = [
        campaign("received_from_campaign"),
        {"filter": "received_from_campaign", "campaign": "b"},
        canvas("entered_canvas_variation"),
        {"filter": "hard_bounced"},
        {"filter": "feed_view_count", "comparator": ">", "n": 0},
    ]
    events = [event("ann", "received"), event("bob", "entered", 1, "canvas:c")]
    found = plan(parse({"or": leaves}), WORLD, now_ms=millis(NOW))
    assert isinstance(found, FilterPlan)
    shard = Shard(Facts(ROSTER, events, views={"cy": 1}), Random(7))
    with ThreadPoolExecutor(4) as pool:
        users = evaluate(found, shard, pool.map)
    assert sorted(users) == ["ann", "bob", "cy"]
    assert sorted(shard.asked) == ["campaign:a", "campaign:b", "canvas:c"]
