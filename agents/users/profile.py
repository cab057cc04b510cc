"""A profile as in `GET /users/{id}`."""

from collections.abc import Mapping
from typing import Any

from agents.users.entry import FirstLast, ProfileEntry, entries
from agents.users.facts import ArchivedUser, UserFacts
from agents.users.names import Names
from agents.users.signals import Signals, signals
from schemas.records.times import iso

__all__ = ["MOST_NAMED", "hidden_entries", "profile", "through_archive", "unchecked"]

MOST_NAMED = 100
"""So many archived sources are named; their number is told in any case."""


def profile(facts: UserFacts, archived: tuple[str, ...], names: Names) -> dict[str, Any]:
    """One user; times as RFC 3339."""
    person, found = facts.person, entries(facts.rows)
    user_signals, aliases = signals(facts.rows), () if person is None else person.aliases
    return {
        "user_id": facts.user,
        "external_user_id": None if person is None else person.external,
        "aliases": [each.name for each in aliases if not each.label],
        "user_aliases": [
            {"alias_name": each.name, "alias_label": each.label} for each in aliases if each.label
        ],
        "merged_users": list(facts.others),
        "in_roster": person is not None and person.in_roster,
        "campaigns_received": [_entry(each, names) for each in found if each.campaign],
        "canvas_messages_received": [_entry(each, names) for each in found if not each.campaign],
        "signals": _signals(user_signals),
        "feed_views": {"count": facts.feed_views, "last": iso(user_signals.feed_viewed)},
        "excluded_expired": {
            "entries": len(facts.hidden),
            "sources": hidden_entries(facts.hidden, names),
            "unchecked": (others := unchecked(archived, facts.hidden)),
            "archived": [
                {"source": each, "name": names.source(each), "state": names.state(each)}
                for each in others["sources"]
            ],
        },
    }


def through_archive(found: ArchivedUser, names: Names) -> dict[str, Any]:
    """What hidden sources have of a user, as `through_archive` of the answer has it."""
    there = entries(found.rows)
    return {
        "campaigns_received": [_entry(each, names) for each in there if each.campaign],
        "canvas_messages_received": [_entry(each, names) for each in there if not each.campaign],
        "read": {
            "sources": len(found.sources),
            "segments": found.segments,
            "bytes": found.bytes,
        },
        "damaged": [
            {"source": source, "name": names.source(source), "what": line}
            for source, line in found.damaged
        ],
    }


def hidden_entries(hidden: Mapping[str, int], names: Names) -> list[dict[str, Any]]:
    """The hidden sources of which the user has rows."""
    return [
        {
            "source": source,
            "name": names.source(source),
            "state": names.state(source),
            "interactions": hidden[source],
        }
        for source in sorted(hidden)
    ]


def unchecked(archived: tuple[str, ...], hidden: Mapping[str, int]) -> dict[str, Any]:
    """The archived sources that may have more rows of the user: only a restore can show that."""
    others = [source for source in archived if source not in hidden]
    return {"count": len(others), "sources": others[:MOST_NAMED]}


def _entry(entry: ProfileEntry, names: Names) -> dict[str, Any]:
    found: dict[str, Any] = {
        "source": entry.source,
        "name": names.source(entry.source),
        "state": names.state(entry.source),
        "received": _span(entry.span("received")),
        "channels": sorted(entry.channels),
        "variations": [
            {"id": each, "name": names.variation(entry.source, each), **_bounds(span)}
            for each, span in sorted(entry.seen.items())
        ],
        "opened": _span(entry.span("opened")),
        "machine_opened": _span(entry.span("machine_opened")),
        "clicked": _span(entry.span("clicked")),
        "bot_clicked": _span(entry.span("bot_clicked")),
        "aliases_clicked": [
            {"alias": alias, **_bounds(span)} for alias, span in sorted(entry.aliases.items())
        ],
        "converted": entry.converted,
        "conversions": [
            {"index": index, **_bounds(span)} for index, span in sorted(entry.conversions.items())
        ],
        "entered": _span(entry.span("entered")),
        "in_control": entry.in_control,
        "exited": _span(entry.span("exited")),
    }
    if not entry.campaign:
        found["steps"] = [
            {"id": step, "name": names.step(entry.source, step), **_bounds(span)}
            for step, span in sorted(entry.steps.items())
        ]
    return found


def _signals(user_signals: Signals) -> dict[str, Any]:
    def listed(values: Mapping[str | None, int], name: str) -> list[dict[str, Any]]:
        order = sorted(values.items(), key=lambda item: item[0] or "")
        return [{name: value, "last": iso(at)} for value, at in order]

    return {
        "hard_bounced": iso(user_signals.since("hard_bounce")),
        "marked_spam": iso(user_signals.since("spam_report")),
        "invalid_phone": iso(user_signals.since("invalid_phone")),
        "inbound_keywords": listed(user_signals.keywords, "category"),
        "feature_flags": listed(user_signals.facts.get("feature_flag", {}), "id"),
    }


def _bounds(span: FirstLast) -> dict[str, Any]:
    return {"first": iso(span.first), "last": iso(span.last)}


def _span(span: FirstLast | None) -> dict[str, Any] | None:
    return None if span is None else _bounds(span)
