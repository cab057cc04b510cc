"""The meaning of every leaf: its measures, and how they combine."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import polars as pl

from agents.filters import nodes
from agents.filters.measures import Compares, ConvertedSince, Measure, Rows, StillSet
from agents.filters.moments import Span
from agents.filters.nodes import Action, By, Filter

__all__ = ["Ask", "meaning"]

Ask = Callable[[Measure], pl.Expr]
"""Gives, for each user of the roster, whether the measure holds."""

_ACTIONS: Mapping[Action, tuple[str, ...]] = {
    "opened": ("opened", "machine_opened"),
    "opened_machine": ("machine_opened",),
    "opened_person": ("opened",),
    "clicked": ("clicked",),
    "any": ("opened", "machine_opened", "clicked"),
}
"""Clicks of suspected bots (`bot_clicked`) are in none of them."""

_ENGAGED: Mapping[By, tuple[str, ...]] = {
    "person": ("opened", "clicked"),
    "machine": ("machine_opened",),
    "any": ("opened", "machine_opened", "clicked"),
}


def meaning(leaf: Filter, ask: Ask) -> pl.Expr:
    """For each user of the roster, whether the leaf holds, `has` included."""
    if isinstance(leaf, nodes.InControlGroup):
        control = ask(Rows(("control",)))
        if leaf.has or leaf.source.startswith("campaign:"):
            return control if leaf.has else ~control
        # a message of a variation says that its user entered, where no event did
        return (ask(Rows(("entered",))) | ask(Rows(("received",), named="variation"))) & ~control
    holds = _profile(leaf, ask) if isinstance(leaf, nodes.ProfileFilter) else _sourced(leaf, ask)
    return holds if leaf.has else ~holds


def _sourced(leaf: Filter, ask: Ask) -> pl.Expr:
    match leaf:
        case nodes.ClickedAlias():
            named: Literal["detail"] | None = "detail" if leaf.alias is None else None
            return ask(Rows(("clicked",), step=leaf.step, detail=leaf.alias, named=named))
        case nodes.ClickedOpened():
            return ask(Rows(_ACTIONS[leaf.action], step=leaf.step, channel=leaf.channel))
        case nodes.Converted():
            return _converted(leaf, ask)
        case nodes.EnteredVariation():
            return ask(Rows(("entered",), variation=leaf.variation))
        case nodes.ReceivedVariant():
            return ask(Rows(("received",), variation=leaf.variation))
        case nodes.Received():
            since, until = leaf.span.bounds()
            return ask(Rows(("received",), step=leaf.step, since=since, until=until))
        case nodes.ReceivedWithTag():
            since, until = leaf.span.bounds()
            return ask(Rows(("received",), since=since, until=until))
        case nodes.ClickedOpenedWithTag():
            since, until = leaf.span.bounds()
            kinds = _ACTIONS[leaf.action]
            return ask(Rows(kinds, channel=leaf.channel, since=since, until=until))
        case nodes.LastReceived():
            return _last(leaf.span, ask, Rows(("received",), step=leaf.step))
        case nodes.LastReceivedWithTag():
            return _last(leaf.span, ask, Rows(("received",)))
    raise TypeError(f"{type(leaf).__name__} rests on no source")


def _profile(leaf: nodes.ProfileFilter, ask: Ask) -> pl.Expr:
    match leaf:
        case nodes.LastReceivedAnywhere():
            return _last(leaf.span, ask, Rows(("received",), channel=leaf.channel))
        case nodes.NeverReceived():
            return ~ask(Rows(("received",)))
        case nodes.LastEngaged():
            return _last(leaf.span, ask, Rows(_ENGAGED[leaf.by], channel=leaf.channel))
        case nodes.ClickedAliasAnywhere():
            return ask(Rows(("clicked",), detail=leaf.alias))
        case nodes.LastViewedFeed():
            return _last(leaf.span, ask, Rows(("feed_view",), cleared=False))
        case nodes.LastEnrolledInControlGroup():
            return _last(leaf.span, ask, Rows(("control",), origin="campaign"))
        case nodes.LastKeyword():
            group = leaf.subscription_group
            keyword = Rows(
                ("inbound_keyword",),
                cleared=False,
                detail=leaf.category if group is None else f"{leaf.category}:{group}",
                grouped=group is None,
            )
            return _last(leaf.span, ask, keyword)
        case nodes.Fact():
            return ask(StillSet(leaf.kind, leaf.value))
        case nodes.FeedViews():
            return ask(Compares(leaf.comparator, leaf.n))
    raise TypeError(f"{type(leaf).__name__} rests on no profile row")


def _converted(leaf: nodes.Converted, ask: Ask) -> pl.Expr:
    since = ConvertedSince(leaf.index)
    recurring = leaf.source.startswith("campaign:")
    return ask(since if recurring else since.conversions()) & ~ask(Rows(("control",)))


def _last(span: Span, ask: Ask, rows: Rows) -> pl.Expr:
    """The latest of the rows is in the span: some row is at or after its beginning, and none at or
    after its end. So no latest time has to be stored for any user.
    """
    after, before = span.bounds()
    some = ask(replace(rows, since=after))
    return some if before is None else some & ~ask(replace(rows, since=before))
