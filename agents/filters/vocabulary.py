"""Every filter by name, with the reader of its arguments: the complete list for queries."""

from collections.abc import Callable, Mapping
from functools import partial

from agents.filters import nodes
from agents.filters.arguments import Arguments
from agents.filters.nodes import FactKind, Filter

__all__ = ["PROFILE_FILTERS", "VOCABULARY"]

Reader = Callable[[Arguments, str, bool, str], Filter]
"""(arguments, name, has, path) -> leaf."""


def _clicked_alias(step: bool, kind: str, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.ClickedAlias(
        name=name,
        has=has,
        path=path,
        source=a.key(kind),
        step=a.text("step") if step else None,
        alias=a.optional_text("alias"),
    )


def _clicked_opened(step: bool, kind: str, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.ClickedOpened(
        name=name,
        has=has,
        path=path,
        source=a.key(kind),
        step=a.text("step") if step else None,
        action=a.action(),
        channel=a.channel(),
    )


def _converted(kind: str, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.Converted(name=name, has=has, path=path, source=a.key(kind), index=a.index())


def _entered(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.EnteredVariation(
        name=name,
        has=has,
        path=path,
        source=a.key("canvas"),
        variation=a.optional_text("variation"),
    )


def _control(kind: str, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.InControlGroup(name=name, has=has, path=path, source=a.key(kind))


def _last_received(step: bool, kind: str, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastReceived(
        name=name,
        has=has,
        path=path,
        source=a.key(kind),
        step=a.text("step") if step else None,
        span=a.span("required"),
    )


def _received(step: bool, kind: str, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.Received(
        name=name,
        has=has,
        path=path,
        source=a.key(kind),
        step=a.text("step") if step else None,
        span=a.span("one at most"),
    )


def _variant(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.ReceivedVariant(
        name=name, has=has, path=path, source=a.key("campaign"), variation=a.text("variation")
    )


def _received_with_tag(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.ReceivedWithTag(
        name=name, has=has, path=path, tag=a.text("tag"), span=a.span("one at most")
    )


def _clicked_opened_with_tag(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.ClickedOpenedWithTag(
        name=name,
        has=has,
        path=path,
        tag=a.text("tag"),
        action=a.action(),
        channel=a.channel(),
        span=a.span("one at most"),
    )


def _last_received_with_tag(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastReceivedWithTag(
        name=name, has=has, path=path, tag=a.text("tag"), span=a.span("required")
    )


def _last_anywhere(channel: str | None, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastReceivedAnywhere(
        name=name, has=has, path=path, channel=channel, span=a.span("required")
    )


def _never(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.NeverReceived(name=name, has=has, path=path)


def _last_engaged(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastEngaged(
        name=name, has=has, path=path, channel=a.channel(), by=a.by(), span=a.span("required")
    )


def _alias_anywhere(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.ClickedAliasAnywhere(name=name, has=has, path=path, alias=a.text("alias"))


def _feed(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastViewedFeed(name=name, has=has, path=path, span=a.span("required"))


def _enrolled(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastEnrolledInControlGroup(name=name, has=has, path=path, span=a.span("required"))


def _keyword(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.LastKeyword(
        name=name,
        has=has,
        path=path,
        category=a.text("category"),
        subscription_group=a.optional_text("subscription_group"),
        span=a.span("required"),
    )


def _flag(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.Fact(name=name, has=has, path=path, kind="feature_flag", value=a.text("flag"))


def _fact(kind: FactKind, a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.Fact(name=name, has=has, path=path, kind=kind)


def _feed_views(a: Arguments, name: str, has: bool, path: str) -> Filter:
    comparator, n = a.comparison()
    return nodes.FeedViews(name=name, has=has, path=path, comparator=comparator, n=n)


def _in_segment(a: Arguments, name: str, has: bool, path: str) -> Filter:
    return nodes.InSegment(name=name, has=has, path=path, segment=a.key("segment"))


_SOURCE: Mapping[str, Reader] = {
    "clicked_alias_in_campaign": partial(_clicked_alias, False, "campaign"),
    "clicked_alias_in_canvas_step": partial(_clicked_alias, True, "canvas"),
    "clicked_opened_campaign": partial(_clicked_opened, False, "campaign"),
    "clicked_opened_step": partial(_clicked_opened, True, "canvas"),
    "converted_from_campaign": partial(_converted, "campaign"),
    "converted_from_canvas": partial(_converted, "canvas"),
    "entered_canvas_variation": _entered,
    "in_campaign_control_group": partial(_control, "campaign"),
    "in_canvas_control_group": partial(_control, "canvas"),
    "last_received_from_campaign": partial(_last_received, False, "campaign"),
    "last_received_from_step": partial(_last_received, True, "canvas"),
    "received_campaign_variant": _variant,
    "received_from_campaign": partial(_received, False, "campaign"),
    "received_from_step": partial(_received, True, "canvas"),
}
_TAG: Mapping[str, Reader] = {
    "received_with_tag": _received_with_tag,
    "clicked_opened_with_tag": _clicked_opened_with_tag,
    "last_received_with_tag": _last_received_with_tag,
}
_PROFILE: Mapping[str, Reader] = {
    "last_received_any": partial(_last_anywhere, None),
    "last_received_email": partial(_last_anywhere, "EMAIL"),
    "last_received_push": partial(_last_anywhere, "PUSH"),
    "last_received_sms": partial(_last_anywhere, "SMS"),
    "last_received_webhook": partial(_last_anywhere, "WEBHOOK"),
    "last_received_whatsapp": partial(_last_anywhere, "WHATSAPP"),
    "never_received": _never,
    "last_engaged": _last_engaged,
    "clicked_alias_in_any": _alias_anywhere,
    "last_in_app_impression": partial(_last_anywhere, "IN_APP"),
    "last_viewed_feed": _feed,
    "last_enrolled_in_any_control_group": _enrolled,
    "last_inbound_keyword_category": _keyword,
    "feature_flag": _flag,
    "hard_bounced": partial(_fact, "hard_bounce"),
    "marked_spam": partial(_fact, "spam_report"),
    "invalid_phone": partial(_fact, "invalid_phone"),
    "feed_view_count": _feed_views,
}
PROFILE_FILTERS = frozenset(_PROFILE)
VOCABULARY: Mapping[str, Reader] = {
    **_SOURCE, **_TAG, **_PROFILE, "in_segment": _in_segment
}  # fmt: skip
