"""An independent evaluation of every filter, over plain Python events.

It shares no code with the product: it reads the JSON of a filter instead of parsed nodes, single
events instead of folded rows, and sets of users instead of frames. Times are milliseconds since
1970.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

Tree = Mapping[str, Any]
HIDDEN = {"EXPIRING", "EXPIRED", "RESTORING"}
NOW = "2026-03-31T12:00:00Z"
"""The moment of every query in these tests; `BACK` is counted from it by hand."""
BACK = {
    "PT0S": "2026-03-31T12:00:00Z",
    "PT12H": "2026-03-31T00:00:00Z",
    "P1D": "2026-03-30T12:00:00Z",
    "P1W": "2026-03-24T12:00:00Z",
    "P30D": "2026-03-01T12:00:00Z",
    "P1M": "2026-02-28T12:00:00Z",
    "P1Y1M": "2025-02-28T12:00:00Z",
}


class Event(NamedTuple):
    """One thing that happened; `source` None: it belongs to none."""

    source: str | None
    user: str
    kind: str
    channel: str | None
    step: str | None
    variation: str | None
    detail: str | None
    cleared: bool
    time: int


@dataclass
class SourceFacts:
    """The facts of a source; `state` as in `lifecycle.state`."""

    state: str = "STOPPED"
    legacy: bool = False
    steps: Sequence[str] = ()
    variations: Sequence[str] = ()


@dataclass
class Facts:
    """Everything an answer depends on."""

    roster: set[str]
    events: list[Event]
    sources: dict[str, SourceFacts] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    segments: dict[str, Tree] = field(default_factory=dict)
    views: dict[str, int] = field(default_factory=dict)


class Invalid(Exception):
    """The filter itself says nothing that could be decided."""


@dataclass
class Verdict:
    """Users, or refusals: (code, path, segments on the way, sources)."""

    users: set[str]
    refused: set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]
    excluded: set[tuple[str, str]]


def millis(text: str) -> int:
    """A time of a filter, durations by the table above."""
    moment = datetime.fromisoformat(BACK.get(text, text))
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def judge(tree: Tree, facts: Facts, *, exclude: bool = False, blind: bool = False) -> Verdict:
    """The answer and the decision. `blind`: as if nothing were hidden or deleted.

    Raises Invalid for a range that is empty.
    """
    judging = _Judging(facts, exclude, blind)
    users = judging.users(tree, "$", False, None, ())
    return Verdict(users, judging.refused, judging.excluded)


class _Judging:
    def __init__(self, facts: Facts, exclude: bool, blind: bool) -> None:
        self.facts = facts
        self.exclude = exclude
        self.blind = blind
        self.refused: set[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = set()
        self.excluded: set[tuple[str, str]] = set()

    def users(
        self, tree: Tree, path: str, odd: bool, outer: str | None, chain: tuple[str, ...]
    ) -> set[str]:
        roster = self.facts.roster
        if "and" in tree:
            found = set(roster)
            for at, part in enumerate(tree["and"]):
                found &= self.users(part, f"{path}.and[{at}]", odd, outer, chain)
            return found
        if "or" in tree:
            found = set()
            for at, part in enumerate(tree["or"]):
                found |= self.users(part, f"{path}.or[{at}]", odd, outer, chain)
            return found
        if "not" in tree:
            return roster - self.users(tree["not"], f"{path}.not", not odd, outer, chain)
        if tree["filter"] == "in_segment":
            return self._segment(tree, path, odd, outer, chain)
        return self._leaf(tree, outer or path, odd, chain)

    def _segment(
        self, tree: Tree, path: str, odd: bool, outer: str | None, chain: tuple[str, ...]
    ) -> set[str]:
        key = full("segment", tree["segment"])
        here = outer or path
        if key in chain:
            self.refused.add(("segment_cycle", here, chain, ()))
            return set()
        if key not in self.facts.segments:
            self.refused.add(("unknown_segment", here, chain, ()))
            return set()
        has = tree.get("has", True)
        inner = self.facts.segments[key]
        found = self.users(inner, "$", odd if has else not odd, here, (*chain, key))
        return found if has else self.facts.roster - found

    def _leaf(self, tree: Tree, path: str, odd: bool, chain: tuple[str, ...]) -> set[str]:
        has = tree.get("has", True)
        bounds(tree)
        negative = odd == has
        if "tag" in tree:
            sources = self._tagged(tree, path, negative, chain)
        elif "campaign" in tree or "canvas" in tree:
            sources = self._named(tree, path, negative, chain)
        else:
            sources = []
        if sources is None:
            # A dropped leaf must not let anybody in: below an odd number of `not`, that is
            # what everybody does.
            return set(self.facts.roster) if odd else set()
        events = [
            event
            for event in self.facts.events
            if event.user in self.facts.roster
            and (event.source in sources if rests_on_sources(tree) else True)
        ]
        holds = {user for user in self.facts.roster if self._holds(tree, user, events)}
        if has:
            return holds
        if tree["filter"] == "in_canvas_control_group":
            entered = {event.user for event in events if event.kind == "entered"}
            sent = {e.user for e in events if e.kind == "received" and e.variation is not None}
            return (entered | sent) - holds
        return self.facts.roster - holds

    def _named(
        self, tree: Tree, path: str, negative: bool, chain: tuple[str, ...]
    ) -> list[str] | None:
        kind = "campaign" if "campaign" in tree else "canvas"
        source = full(kind, tree[kind])
        known = self.facts.sources.get(source)
        if known is None:
            self.refused.add(("unknown_source", path, chain, ()))
            return []
        if "step" in tree and known.steps and tree["step"] not in known.steps:
            self.refused.add(("unknown_step", path, chain, ()))
        if "variation" in tree and known.variations and tree["variation"] not in known.variations:
            self.refused.add(("unknown_variation", path, chain, ()))
        if self.blind:
            return [source]
        if known.legacy:
            self.refused.add(("legacy_deleted", path, chain, (source,)))
        elif known.state in HIDDEN:
            if not self.exclude or negative:
                self.refused.add(("source_hidden", path, chain, (source,)))
            else:
                self.excluded.add((source, path))
                return None
        return [source]

    def _tagged(
        self, tree: Tree, path: str, negative: bool, chain: tuple[str, ...]
    ) -> list[str] | None:
        if tree["tag"] not in self.facts.tags:
            self.refused.add(("unknown_tag", path, chain, ()))
            return []
        sources = sorted(set(self.facts.tags[tree["tag"]]))
        if self.blind:
            return sources
        known = self.facts.sources
        legacy = [source for source in sources if known[source].legacy]
        hidden = [s for s in sources if known[s].state in HIDDEN and s not in legacy]
        closed = negative or (tree["filter"] == "last_received_with_tag" and "before" in tree)
        if closed and legacy:
            self.refused.add(("legacy_deleted", path, chain, tuple(legacy)))
            return []
        if closed and hidden:
            if not self.exclude or negative:
                self.refused.add(("source_hidden", path, chain, tuple(hidden)))
                return []
            self.excluded.update((source, path) for source in hidden)
            return None
        self.excluded.update((source, path) for source in (*legacy, *hidden))
        return [source for source in sources if source not in (*legacy, *hidden)]

    def _holds(self, tree: Tree, user: str, events: Iterable[Event]) -> bool:
        mine = [event for event in events if event.user == user]
        return holds(tree, mine, self.facts.views.get(user, 0))


def full(kind: str, name: str) -> str:
    """A bare id or a full key, as a full key."""
    return name if name.startswith(f"{kind}:") else f"{kind}:{name}"


def rests_on_sources(tree: Tree) -> bool:
    """Whether a leaf counts the events of some sources only."""
    return "tag" in tree or "campaign" in tree or "canvas" in tree


def bounds(tree: Tree) -> tuple[int | None, int | None]:
    """(after, before) of a leaf. Raises Invalid where nothing lies between them."""
    after = millis(tree["after"]) if "after" in tree else None
    before = millis(tree["before"]) if "before" in tree else None
    if after is not None and before is not None and after >= before:
        raise Invalid
    return after, before


def last_in(tree: Tree, times: Sequence[int]) -> bool:
    """Whether the last of these times lies in the leaf's range; there must be one."""
    after, before = bounds(tree)
    if not times:
        return False
    last = max(times)
    return (after is None or last >= after) and (before is None or last < before)


def some_in(tree: Tree, times: Sequence[int]) -> bool:
    """Whether one of these times lies on the right side of the leaf's one bound, if any."""
    after, before = bounds(tree)
    if after is not None:
        return any(time >= after for time in times)
    if before is not None:
        return any(time < before for time in times)
    return bool(times)


DONE = {
    "opened": {"opened", "machine_opened"},
    "opened_machine": {"machine_opened"},
    "opened_person": {"opened"},
    "clicked": {"clicked"},
    "any": {"opened", "machine_opened", "clicked"},
}
ENGAGED = {
    "person": {"opened", "clicked"},
    "machine": {"machine_opened"},
    "any": {"opened", "machine_opened", "clicked"},
}
ONE_CHANNEL = {
    "last_received_email": "EMAIL",
    "last_received_push": "PUSH",
    "last_received_sms": "SMS",
    "last_received_webhook": "WEBHOOK",
    "last_received_whatsapp": "WHATSAPP",
    "last_in_app_impression": "IN_APP",
}
FACTS = {
    "feature_flag": "feature_flag",
    "hard_bounced": "hard_bounce",
    "marked_spam": "spam_report",
    "invalid_phone": "invalid_phone",
}


def holds(tree: Tree, mine: Sequence[Event], views: int) -> bool:
    """Whether a leaf (without its `has`) is true of a user with these events."""

    def times(*kinds: str, **wanted: object) -> list[int]:
        return [
            event.time
            for event in mine
            if event.kind in kinds and all(getattr(event, k) == v for k, v in wanted.items())
        ]

    asked = {name: tree[name] for name in ("step", "variation", "channel") if name in tree}
    match tree["filter"]:
        case "clicked_alias_in_campaign" | "clicked_alias_in_canvas_step":
            if "alias" in tree:
                return bool(times("clicked", detail=tree["alias"], **asked))
            without = times("clicked", detail=None, **asked)
            return len(times("clicked", **asked)) > len(without)
        case "clicked_opened_campaign" | "clicked_opened_step":
            return bool(times(*DONE[tree["action"]], **asked))
        case "clicked_opened_with_tag":
            return some_in(tree, times(*DONE[tree["action"]], **asked))
        case "converted_from_campaign" | "converted_from_canvas":
            index = tree.get("index", 0)
            one = {} if index == "any" else {"detail": str(index)}
            conversions = times("converted", **one)
            if not conversions or times("control"):
                return False
            received = times("received")
            recurs = tree["filter"] == "converted_from_campaign"
            return not (recurs and received and max(conversions) < max(received))
        case "entered_canvas_variation":
            return bool(times("entered", **asked))
        case "in_campaign_control_group" | "in_canvas_control_group":
            return bool(times("control"))
        case "last_received_from_campaign" | "last_received_from_step" | "last_received_with_tag":
            return last_in(tree, times("received", **asked))
        case "received_campaign_variant":
            return bool(times("received", **asked))
        case "received_from_campaign" | "received_from_step" | "received_with_tag":
            return some_in(tree, times("received", **asked))
        case "last_received_any":
            return last_in(tree, times("received"))
        case name if name in ONE_CHANNEL:
            return last_in(tree, times("received", channel=ONE_CHANNEL[name]))
        case "never_received":
            return not times("received")
        case "last_engaged":
            return last_in(tree, times(*ENGAGED[tree.get("by", "any")], **asked))
        case "clicked_alias_in_any":
            return bool(times("clicked", detail=tree["alias"]))
        case "last_viewed_feed":
            return last_in(tree, times("feed_view", cleared=False))
        case "last_enrolled_in_any_control_group":
            enrolled = [e for e in mine if e.kind == "control" and e.source is not None]
            return last_in(tree, [e.time for e in enrolled if str(e.source)[:9] == "campaign:"])
        case "last_inbound_keyword_category":
            said = [
                (str(event.detail).split(":", 1), event.time)
                for event in mine
                if event.kind == "inbound_keyword" and not event.cleared and event.detail
            ]
            group = tree.get("subscription_group")
            return last_in(
                tree,
                [
                    time
                    for (category, *rest), time in said
                    if category == tree["category"] and (group is None or rest == [group])
                ],
            )
        case name if name in FACTS:
            values = {e.detail for e in mine if e.kind == FACTS[name]}
            if "flag" in tree:
                values &= {tree["flag"]}
            return any(stands(FACTS[name], value, mine) for value in values)
        case "feed_view_count":
            n: int = tree["n"]
            compared: dict[str, bool] = {
                "<": views < n,
                "<=": views <= n,
                "=": views == n,
                "!=": views != n,
                ">=": views >= n,
                ">": views > n,
            }
            return compared[tree["comparator"]]
    raise AssertionError(tree)


def stands(kind: str, value: str | None, mine: Sequence[Event]) -> bool:
    """Whether the fact was set, and not cleared at that time or later."""
    about = [event for event in mine if event.kind == kind and event.detail == value]
    set_at = [event.time for event in about if not event.cleared]
    unset_at = [event.time for event in about if event.cleared]
    return bool(set_at) and (not unset_at or max(set_at) > max(unset_at))
