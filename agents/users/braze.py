"""A user in the format of Braze's user exports, with Braze's field names and nesting.

As in Braze, null, false or empty fields may be missing. Fields without data in this service (names,
addresses, purchases) are always missing.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from agents.users.entry import ProfileEntry
from agents.users.names import Names
from agents.users.person import Person
from schemas.records.times import iso

__all__ = ["FIELDS", "KNOWN_FIELDS", "user_object"]

FIELDS = ("external_id", "user_aliases", "braze_id", "campaigns_received", "canvases_received")
"""The fields that can be filled here."""

KNOWN_FIELDS = frozenset(
    (
        *FIELDS,
        *("apps", "attributed_campaign", "attributed_source", "attributed_adgroup"),
        *("attributed_ad", "cards_clicked", "country", "created_at", "custom_attributes"),
        *("custom_events", "devices", "dob", "email", "email_subscribe", "first_name", "gender"),
        *("home_city", "language", "last_coordinates", "last_name", "phone", "purchases"),
        *("push_subscribe", "push_tokens", "random_bucket", "time_zone", "total_revenue"),
        *("uninstalled_at", "email_opted_in_at", "email_unsubscribed_at", "push_opted_in_at"),
        *("push_unsubscribed_at",),
    )
)
"""Every field that may be asked for; those that are not in `FIELDS` are never there."""


def user_object(
    user: str,
    person: Person | None,
    entries: Iterable[ProfileEntry],
    names: Names,
    fields: Collection[str],
) -> Mapping[str, Any]:
    """The export object of one user, with the available ones of `fields`."""
    found: dict[str, Any] = {}
    if person is not None and person.external is not None:
        found["external_id"] = person.external
    if person is not None and person.aliases:
        found["user_aliases"] = [
            {"alias_name": each.name, "alias_label": each.label} for each in person.aliases
        ]
    found["braze_id"] = user
    if not {"campaigns_received", "canvases_received"}.isdisjoint(fields):
        listed = list(entries)
        campaigns = [_campaign(e, names) for e in listed if e.campaign and e.receiver]
        canvases = [_canvas(e, names) for e in listed if not e.campaign and e.receiver]
        found |= {"campaigns_received": campaigns} if campaigns else {}
        found |= {"canvases_received": canvases} if canvases else {}
    return {name: value for name, value in found.items() if name in fields}


def _campaign(entry: ProfileEntry, names: Names) -> dict[str, Any]:
    found: dict[str, Any] = {"name": names.source(entry.source)}
    _dated(found, "last_received", entry.last("received"))
    found["engaged"] = {
        "opened_email": "EMAIL" in entry.opened_on,
        "opened_push": "PUSH" in entry.opened_on,
        "clicked_email": "EMAIL" in entry.clicked_on,
        "clicked_triggered_in_app_message": "IN_APP" in entry.clicked_on,
    }
    found["converted"] = entry.converted
    if entry.converted:
        found["multiple_converted"] = {_conversion(each): True for each in entry.converted_by}
    found["api_campaign_id"] = entry.id
    if entry.variation is not None:
        found["variation_name"] = names.variation(entry.source, entry.variation)
        found["variation_api_id"] = entry.variation
    if entry.variation is not None or entry.in_control:
        found["in_control"] = entry.in_control
    return found


def _canvas(entry: ProfileEntry, names: Names) -> dict[str, Any]:
    found: dict[str, Any] = {"name": names.source(entry.source), "api_canvas_id": entry.id}
    _dated(found, "last_received_message", entry.last("received"))
    _dated(found, "last_entered", entry.last("entered"))
    if entry.variation is not None:
        found["variation_name"] = names.variation(entry.source, entry.variation)
    found["in_control"] = entry.in_control
    _dated(found, "last_entered_control_at", entry.last("control"))
    _dated(found, "last_exited", entry.last("exited"))
    found["steps_received"] = [
        {
            "name": names.step(entry.source, step),
            "api_canvas_step_id": step,
            "last_received": iso(span.last),
        }
        for step, span in sorted(entry.steps.items())
    ]
    return found


def _conversion(index: int) -> str:
    """The platform's name of a conversion event: they have letters, and the first is primary."""
    return f"{'' if index else 'Primary '}Conversion Event - {chr(ord('A') + index)}"


def _dated(found: dict[str, Any], name: str, at: int | None) -> None:
    if at is not None:
        found[name] = iso(at)
