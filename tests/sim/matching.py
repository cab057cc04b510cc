"""Which users match a filter at a moment: by the independent evaluation of the tests."""

from collections.abc import Mapping
from typing import Any

from tests.rigs.filters import brute
from tests.sim.truth import ShardTruth

__all__ = ["events_of", "kinds_of", "matching", "named_in", "source_of", "sources_in"]

Tree = Mapping[str, Any]


def named_in(tree: Tree) -> list[str]:
    """The sources that a filter names."""
    for word in ("and", "or"):
        if word in tree:
            return [source for part in tree[word] for source in named_in(part)]
    if "not" in tree:
        return named_in(tree["not"])
    return [f"{kind}:{tree[kind]}" for kind in ("campaign", "canvas") if kind in tree]


def matching(truth: ShardTruth, moment: int, tree: Tree) -> set[str]:
    """The users of a shard who match, each id alone."""
    facts = brute.Facts(truth.users(moment), events_of(truth, moment), sources_in(tree))
    facts.views = truth.views(moment)
    return brute.judge(tree, facts, blind=True).users


def sources_in(tree: Tree) -> dict[str, brute.SourceFacts]:
    """The sources that a filter names, as if all were active."""
    return {source: brute.SourceFacts(state="ACTIVE") for source in named_in(tree)}


def events_of(truth: ShardTruth, moment: int) -> list[brute.Event]:
    """The events of a shard that count at a moment."""
    events = []
    for one in truth.happened(moment):
        event = one.event
        kinds = kinds_of(one.kind, event)
        source = source_of(event)
        sent = one.kind in ("send", "open", "click")
        for kind in kinds:
            variation = event.get("message_variation_id") or event.get("canvas_variation_id")
            detail = event.get("link_alias")
            if one.kind == "conversion":
                detail = str(event.get("conversion_behavior_index") or 0)
            events.append(
                brute.Event(
                    source,
                    event["user_id"],
                    kind,
                    (event.get("channel") or "OTHER") if sent else None,
                    event.get("canvas_step_id"),
                    variation if source else None,
                    detail,
                    False,
                    event["time"],
                )
            )
    return events


def source_of(event: Mapping[str, Any]) -> str | None:
    for kind in ("campaign", "canvas"):
        if event.get(f"{kind}_id") is not None:
            return f"{kind}:{event[f'{kind}_id']}"
    return None


def kinds_of(name: str, event: Mapping[str, Any]) -> tuple[str, ...]:
    if name == "variant":
        return ("control", "entered") if event.get("in_control_group") else ("entered",)
    if name == "signal":
        return (str(event.get("signal_type", "OTHER")).lower(),)
    made = {"send": "received", "open": "opened", "click": "clicked", "conversion": "converted"}
    return (made[name],)
