"""Whether a word is one of our filters, or a misspelt one. Pure."""

from functools import lru_cache

from schemas.words.nearest import nearest

__all__ = ["FILTERS", "PROFILE_FILTERS", "SOURCE_FILTERS", "TAG_FILTERS", "alike", "meant"]

SOURCE_FILTERS = {
    "clicked_alias_in_campaign": "campaign",
    "clicked_alias_in_canvas_step": "canvas",
    "clicked_opened_campaign": "campaign",
    "clicked_opened_step": "canvas",
    "converted_from_campaign": "campaign",
    "converted_from_canvas": "canvas",
    "entered_canvas_variation": "canvas",
    "in_campaign_control_group": "campaign",
    "in_canvas_control_group": "canvas",
    "last_received_from_campaign": "campaign",
    "last_received_from_step": "canvas",
    "received_campaign_variant": "campaign",
    "received_from_campaign": "campaign",
    "received_from_step": "canvas",
}
"""The filters that rest on one source, and the argument that names it."""

TAG_FILTERS = frozenset({"received_with_tag", "clicked_opened_with_tag", "last_received_with_tag"})

PROFILE_FILTERS = frozenset(
    {
        "clicked_alias_in_any",
        "feature_flag",
        "feed_view_count",
        "hard_bounced",
        "invalid_phone",
        "last_engaged",
        "last_enrolled_in_any_control_group",
        "last_in_app_impression",
        "last_inbound_keyword_category",
        "last_received_any",
        "last_received_email",
        "last_received_push",
        "last_received_sms",
        "last_received_webhook",
        "last_received_whatsapp",
        "last_viewed_feed",
        "marked_spam",
        "never_received",
    }
)
"""The filters that rest on what never expires."""

_HOT = (*SOURCE_FILTERS, "in_segment")
FILTERS = frozenset({*_HOT, *TAG_FILTERS, *PROFILE_FILTERS})
"""Every filter that we know."""

_ALIKE = 0.8
"""Least likeness of a misspelt word; a platform has filters of its own, some not unlike ours."""
_SHARED = 0.4
_SHORTEST, _LONGEST = 6, 60


@lru_cache(maxsize=4096)
def meant(name: str) -> str | None:
    """The filter of ours that a name resembles or equals in another case; None for a foreign
    name.
    """
    if not _SHORTEST <= len(name) <= _LONGEST:
        return None
    return nearest(name, FILTERS, cutoff=_ALIKE)


def alike(word: str) -> bool:
    """Whether a word may be, or resemble, a filter that keeps a source hot.

    It may wrongly say yes, but never wrongly no, compared with `meant`; it costs far less.
    """
    if not _SHORTEST <= len(word) <= _LONGEST:
        return False
    pairs = _pairs(word.casefold())
    return any(len(pairs & known) >= _SHARED * len(known) for known in _PAIRS)


def _pairs(word: str) -> frozenset[str]:
    return frozenset(word[at : at + 2] for at in range(len(word) - 1))


_PAIRS = tuple(_pairs(name) for name in _HOT)
