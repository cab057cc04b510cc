"""Random histories and random filters over few sources and users, for Hypothesis."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.rigs.filters.brute import Event, Facts, SourceFacts, millis

CAMPAIGNS = ("a", "b")
CANVASES = ("c", "d")
SOURCES = ("campaign:a", "campaign:b", "canvas:c", "canvas:d")
USERS = ("u1", "u2", "u3")
STRANGERS = ("merged",)
STEPS = ("s1", "s2")
VARIATIONS = ("v1", "v2")
ALIASES = ("home", "buy")
CHANNELS = ("EMAIL", "PUSH", "SMS", "WEBHOOK", "WHATSAPP", "IN_APP")
TAGS = ("t1", "t2")
SEGMENTS = ("g1", "g2")
# Few users and few moments: what matters is what happens to one user, and at a bound.
WHEN = (
    "PT12H",
    "P1D",
    "P1M",
    "2026-03-31T00:00:00Z",
    "2026-03-30T13:00:00+01:00",
    "2026-03-30T12:00:00.001Z",
    "2026-02-28T11:59:59.999Z",
)
_MOMENTS = sorted({millis(text) for text in WHEN})
TIMES = (*_MOMENTS, *_MOMENTS, _MOMENTS[0] - 1, _MOMENTS[-1] + 1)
INTERACTIONS = (
    "received", "received", "received", "opened", "machine_opened", "clicked", "clicked",
    "bot_clicked", "entered", "control", "control", "exited", "converted", "converted",
)  # fmt: skip
SIGNALS = ("hard_bounce", "spam_report", "invalid_phone", "feature_flag")


# Hypothesis checks a strategy once, and one created again at every draw each time: that was most of
# the time of these tests. So what is drawn from is made once.
@cache
def some(values: tuple[Any, ...]) -> SearchStrategy[Any]:
    """One of them."""
    return st.sampled_from(values)


@cache
def maybe(values: tuple[str, ...]) -> SearchStrategy[str | None]:
    """One of them, or None."""
    return st.none() | some(values)


@st.composite
def _interaction(draw: st.DrawFn) -> Event:
    kind = draw(some(INTERACTIONS))
    source = draw(some(("campaign:a", *SOURCES, "canvas:c", *SOURCES, None)))
    sent = kind in ("received", "opened", "machine_opened", "clicked", "bot_clicked")
    detail = None
    if kind in ("clicked", "bot_clicked"):
        detail = draw(maybe(ALIASES))
    elif kind == "converted":
        detail = draw(some(("0", "0", "1")))
    canvas = source is not None and source.startswith("canvas")
    return Event(
        source=source,
        user=draw(some(USERS + STRANGERS)),
        kind=kind,
        channel=draw(some(CHANNELS)) if sent else None,
        step=draw(maybe(STEPS)) if canvas else None,
        variation=draw(maybe(VARIATIONS)),
        detail=detail,
        cleared=False,
        time=draw(some(TIMES)),
    )


_EITHER = st.booleans()


@st.composite
def _signal(draw: st.DrawFn) -> Event:
    kind = draw(some((*SIGNALS, "inbound_keyword", "feed_view", "other")))
    detail = None
    if kind == "inbound_keyword":
        detail = draw(some(("STOP", "START", "STOP:g", "STOPPED", "STOP:h", "START:g")))
    elif kind in SIGNALS:
        detail = draw(maybe(("f1", "f2")))
    cleared = kind != "inbound_keyword" and draw(_EITHER)
    user, time = draw(some(USERS + STRANGERS)), draw(some(TIMES))
    return Event(None, user, kind, None, None, None, detail, cleared, time)


@cache
def _states(hidden: bool) -> SearchStrategy[SourceFacts]:
    states: tuple[str, ...] = ("ACTIVE", "STOPPED", "EXEMPT", "HELD", "UNKNOWN")
    if hidden:
        states += ("EXPIRING", "EXPIRED", "RESTORING")
    return st.builds(
        SourceFacts,
        state=some(states),
        legacy=some((False, False, False, hidden)),
        steps=some(((), STEPS, STEPS, ("s1",))),
        variations=some(((), VARIATIONS, VARIATIONS, ("v1",))),
    )


@cache
def _events(least: int) -> SearchStrategy[list[Event]]:
    event = _interaction() | _interaction() | _signal()
    return st.lists(event, min_size=least, max_size=40)


_ROSTER = st.sets(some(USERS), min_size=2)
_TAGGED = st.lists(some(SOURCES), unique=True)
_VIEWS = st.dictionaries(some(USERS + STRANGERS), st.integers(0, 4), max_size=6)


@cache
def _segment() -> SearchStrategy[Any]:
    return negated() | trees(leaves=3)


@st.composite
def facts(draw: st.DrawFn, *, hidden: bool) -> Facts:
    """A history of at most forty events; with `hidden` some sources are hidden or gone."""
    events = draw(_events(draw(some((0, 20, 30)))))
    only = draw(some((None, "campaign:a", "canvas:c")))
    if only is not None:
        # Everything about one source, and half of it happens to one user.
        events = [
            e._replace(source=only, user="u1" if at % 2 else e.user) if e.source else e
            for at, e in enumerate(events)
        ]
    known = {source: draw(_states(hidden)) for source in SOURCES}
    return Facts(
        roster=draw(_ROSTER),
        events=events,
        sources=known,
        tags={"t1": ["campaign:a", "canvas:c"], "t2": draw(_TAGGED)},
        segments={f"segment:{name}": draw(_segment()) for name in SEGMENTS},
        views=draw(_VIEWS),
    )


def _named(kind: str) -> SearchStrategy[str]:
    ids = CAMPAIGNS if kind == "campaign" else CANVASES
    return some((*ids, *ids, *(f"{kind}:{one}" for one in ids), *ids, *ids, *ids, "unheard"))


def _leaf(name: str, required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Any:
    return st.fixed_dictionaries(
        {"filter": st.just(name), **required}, optional={"has": st.booleans(), **(optional or {})}
    )


def _bounded(name: str, required: Mapping[str, Any], optional: Mapping[str, Any]) -> Any:
    when = some(WHEN)
    return st.one_of(
        *(
            _leaf(name, {**required, **dict.fromkeys(bounds, when)}, optional)
            for bounds in (("after",), ("before",), ("after", "before"))
        )
    )


def _half_bounded(name: str, required: Mapping[str, Any], optional: Mapping[str, Any]) -> Any:
    when = some(WHEN)
    return st.one_of(
        _leaf(name, required, optional),
        _leaf(name, {**required, "after": when}, optional),
        _leaf(name, {**required, "before": when}, optional),
    )


_CAMPAIGN, _CANVAS = {"campaign": _named("campaign")}, {"canvas": _named("canvas")}
_STEP = {**_CANVAS, "step": some((*STEPS, *STEPS, *STEPS, "s9"))}
_ACTION = {"action": some(("opened", "opened_machine", "opened_person", "clicked", "any"))}
_CHANNEL = {"channel": some(CHANNELS)}
_ALIAS = {"alias": some(ALIASES)}
_INDEX = {"index": some((0, 1, 2, 3, "any"))}
_TAG = {"tag": some((*TAGS, *TAGS, *TAGS, "untold"))}
_VARIATION = {"variation": some((*VARIATIONS, *VARIATIONS, *VARIATIONS, "v9"))}
_COUNT = {"comparator": some(("<", "<=", "=", "!=", ">=", ">")), "n": st.integers(1, 4)}

LEAVES: Mapping[str, Any] = {
    "clicked_alias_in_campaign": _leaf("clicked_alias_in_campaign", _CAMPAIGN, _ALIAS),
    "clicked_alias_in_canvas_step": _leaf("clicked_alias_in_canvas_step", _STEP, _ALIAS),
    "clicked_opened_campaign": _leaf("clicked_opened_campaign", {**_CAMPAIGN, **_ACTION}, _CHANNEL),
    "clicked_opened_step": _leaf("clicked_opened_step", {**_STEP, **_ACTION}, _CHANNEL),
    "converted_from_campaign": _leaf("converted_from_campaign", _CAMPAIGN, _INDEX),
    "converted_from_canvas": _leaf("converted_from_canvas", _CANVAS, _INDEX),
    "entered_canvas_variation": _leaf("entered_canvas_variation", _CANVAS, _VARIATION),
    "in_campaign_control_group": _leaf("in_campaign_control_group", _CAMPAIGN),
    "in_canvas_control_group": _leaf("in_canvas_control_group", _CANVAS),
    "last_received_from_campaign": _bounded("last_received_from_campaign", _CAMPAIGN, {}),
    "last_received_from_step": _bounded("last_received_from_step", _STEP, {}),
    "received_campaign_variant": _leaf("received_campaign_variant", {**_CAMPAIGN, **_VARIATION}),
    "received_from_campaign": _half_bounded("received_from_campaign", _CAMPAIGN, {}),
    "received_from_step": _half_bounded("received_from_step", _STEP, {}),
    "received_with_tag": _half_bounded("received_with_tag", _TAG, {}),
    "clicked_opened_with_tag": _half_bounded(
        "clicked_opened_with_tag", {**_TAG, **_ACTION}, _CHANNEL
    ),
    "last_received_with_tag": _bounded("last_received_with_tag", _TAG, {}),
    **{
        name: _bounded(name, {}, {})
        for name in (
            "last_received_any",
            "last_received_email",
            "last_received_push",
            "last_received_sms",
            "last_received_webhook",
            "last_received_whatsapp",
            "last_in_app_impression",
            "last_viewed_feed",
            "last_enrolled_in_any_control_group",
        )
    },
    "never_received": _leaf("never_received", {}),
    "last_engaged": _bounded(
        "last_engaged", {}, {**_CHANNEL, "by": some(("person", "machine", "any"))}
    ),
    "clicked_alias_in_any": _leaf("clicked_alias_in_any", _ALIAS),
    "last_inbound_keyword_category": _bounded(
        "last_inbound_keyword_category",
        {"category": some(("STOP", "START"))},
        {"subscription_group": some(("g", "h"))},
    ),
    "feature_flag": _leaf("feature_flag", {"flag": some(("f1", "f2"))}),
    "hard_bounced": _leaf("hard_bounced", {}),
    "marked_spam": _leaf("marked_spam", {}),
    "invalid_phone": _leaf("invalid_phone", {}),
    "feed_view_count": _leaf("feed_view_count", _COUNT),
    "in_segment": _leaf(
        "in_segment", {"segment": some((*SEGMENTS, *SEGMENTS, "segment:g1", "unmade"))}
    ),
}
"""A strategy for each filter by name. All can be parsed, but for ranges that are empty."""


@cache
def trees(leaves: int = 8) -> SearchStrategy[Any]:
    """Filters with all kinds of leaves, `and`, `or` and `not`."""
    return st.recursive(
        st.one_of(*LEAVES.values()),
        lambda below: st.one_of(
            st.fixed_dictionaries({"and": st.lists(below, max_size=3)}),
            st.fixed_dictionaries({"or": st.lists(below, max_size=3)}),
            st.fixed_dictionaries({"not": below}),
        ),
        max_leaves=leaves,
    )


@cache
def negated() -> SearchStrategy[Any]:
    """One leaf that can rest on hidden data, below up to three `not`."""
    names = [name for name in LEAVES if "campaign" in name or "canvas" in name or "step" in name]
    names += ["in_segment", "in_segment", "in_segment", "received_with_tag"]
    names += ["clicked_opened_with_tag", "last_received_with_tag"]
    leaf = st.one_of(*(LEAVES[name] for name in names))
    return st.builds(_below, leaf, st.integers(0, 3))


def _below(tree: Any, times: int) -> Any:
    return {"not": _below(tree, times - 1)} if times else tree
