"""The page of the filters. `docs/filters.md` has the same tables, and the rules around them."""

from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from schemas.tables.interaction import CHANNELS

__all__ = ["TABLES", "page"]

_COLUMNS = ("filter", "arguments", "true when the user", "`has: false`")
_OTHERS = "everybody else"
_SPAN = "after?, before? (one at least)"

TABLES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "About one source": (
        (
            "`received_from_campaign`",
            "campaign, after? or before?",
            "received a message of it",
            _OTHERS,
        ),
        (
            "`received_from_step`",
            "canvas, step, after? or before?",
            "received a message of that step",
            _OTHERS,
        ),
        (
            "`last_received_from_campaign`",
            "campaign, after?, before? (one at least)",
            "received the last message in that time",
            _OTHERS,
        ),
        (
            "`last_received_from_step`",
            "canvas, step, after?, before? (one at least)",
            "the same of a step",
            _OTHERS,
        ),
        ("`received_campaign_variant`", "campaign, variation", "received that variation", _OTHERS),
        (
            "`clicked_opened_campaign`",
            "campaign, action, channel?",
            "did the action; `action` is opened (by people or machines), opened_person, "
            "opened_machine, clicked or any",
            _OTHERS,
        ),
        ("`clicked_opened_step`", "canvas, step, action, channel?", "the same of a step", _OTHERS),
        (
            "`clicked_alias_in_campaign`",
            "campaign, alias?",
            "clicked the link of that alias, or any with an alias",
            _OTHERS,
        ),
        ("`clicked_alias_in_canvas_step`", "canvas, step, alias?", "the same of a step", _OTHERS),
        (
            "`converted_from_campaign`",
            "campaign, index? (0-3 or any; 0)",
            "converted at or after the last receipt; not in the control group",
            _OTHERS,
        ),
        (
            "`converted_from_canvas`",
            "canvas, index?",
            "ever converted; not in the control group",
            _OTHERS,
        ),
        (
            "`entered_canvas_variation`",
            "canvas, variation?",
            "entered it, the control group included",
            _OTHERS,
        ),
        ("`in_campaign_control_group`", "campaign", "is in its control group", _OTHERS),
        (
            "`in_canvas_control_group`",
            "canvas",
            "is in its control group",
            "those who entered, or received a variation of it",
        ),
    ),
    "About all sources with a tag": (
        (
            "`received_with_tag`",
            "tag, after? or before?",
            "received a message of one of them",
            _OTHERS,
        ),
        (
            "`clicked_opened_with_tag`",
            "tag, action, channel?, after? or before?",
            "did the action with a message of one of them",
            _OTHERS,
        ),
        (
            "`last_received_with_tag`",
            "tag, after?, before? (one at least)",
            "received the last message of all of them in that time",
            _OTHERS,
        ),
    ),
    "About the user": (
        (
            "`last_received_any`",
            _SPAN,
            "received the last message of any kind in that time",
            _OTHERS,
        ),
        (
            "`last_received_email` `last_received_push` `last_received_sms` "
            "`last_received_webhook` `last_received_whatsapp`",
            _SPAN,
            "the same on that channel",
            _OTHERS,
        ),
        ("`last_in_app_impression`", _SPAN, "saw the last in-app message in that time", _OTHERS),
        ("`never_received`", "", "is known, and never received anything", _OTHERS),
        (
            "`last_engaged`",
            "channel?, by? (person, machine or any; any), after?, before? (one at least)",
            "opened or clicked last in that time",
            _OTHERS,
        ),
        (
            "`clicked_alias_in_any`",
            "alias",
            "clicked a link of that alias, whatever the source",
            _OTHERS,
        ),
        ("`last_viewed_feed`", _SPAN, "viewed the feed last in that time", _OTHERS),
        (
            "`last_enrolled_in_any_control_group`",
            _SPAN,
            "last entered a campaign's control group in that time",
            _OTHERS,
        ),
        (
            "`last_inbound_keyword_category`",
            "category, subscription_group?, after?, before? (one at least)",
            "last sent a keyword of that category in that time",
            _OTHERS,
        ),
        ("`feature_flag`", "flag", "has the flag", _OTHERS),
        (
            "`hard_bounced` `marked_spam` `invalid_phone`",
            "",
            "has a signal of that kind that no later one has cleared",
            _OTHERS,
        ),
        (
            "`feed_view_count`",
            "comparator (=, !=, <, <=, >, >=), n",
            "has viewed the feed a number of times that compares so with `n`",
            _OTHERS,
        ),
    ),
    "Segments": (("`in_segment`", "segment", "matches the segment's filter", _OTHERS),),
}
"""The rows by section."""

_BEFORE = {
    "About one source": "While the source is EXPIRING, EXPIRED or RESTORING, the filter is "
    "refused. An active definition with such a filter keeps the source hot.",
    "About all sources with a tag": "These filters never keep a source hot. Expired sources with "
    "the tag are left out, and the answer names them.",
    "About the user": "These filters never depend on expired data.",
    "Segments": "A segment that is active keeps the sources of its filter hot (setting "
    "`segments_are_roots`).",
}
_EXAMPLE = """{"and": [
  {"filter": "received_from_campaign", "campaign": "spring", "after": "P30D"},
  {"filter": "clicked_opened_campaign", "campaign": "spring", "action": "opened", "has": false}
]}"""


def page() -> Page:
    """Every filter with its arguments."""
    return Page(
        "filters",
        "Filters",
        ABOUT["filters"],
        (
            Section(
                text=(
                    'A filter is JSON: a leaf `{"filter": NAME, ...}`, or `{"and": [...]}`, '
                    '`{"or": [...]}`, `{"not": ...}`. Arguments with `?` are optional. Every leaf '
                    "also takes `has` (default true).",
                    "`campaign`, `canvas` and `segment` take the id, alone or as `campaign:ID`. "
                    "`after` and `before` are moments (`2026-05-01T00:00:00Z`) or periods before "
                    f"now (`P30D`, `P3M`, `PT12H`). `channel` is one of {', '.join(CHANNELS)}.",
                ),
                example=_EXAMPLE,
            ),
            *(
                Section(title, (_BEFORE[title],), Table(_COLUMNS, rows))
                for title, rows in TABLES.items()
            ),
        ),
    )
