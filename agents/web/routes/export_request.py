"""The requests of the user exports: checked. Names are Braze's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.http.formats import MEDIA_TYPES
from agents.http.problems import bad_request
from agents.shard.user_read import MOST_USERS
from agents.users.braze import FIELDS, KNOWN_FIELDS
from schemas.tables.roster import Alias

__all__ = [
    "IDS_MEMBERS",
    "SEGMENT_MEMBERS",
    "Fields",
    "Wanted",
    "archive_asked",
    "fields_of",
    "segment_of",
    "wanted",
]

MOST_FIELDS = 1_000
NAME_SHOWN = 100
"""So much of an unknown name of a field the answer repeats."""
_UNKNOWN_HERE = ("device_id", "email_address", "phone")
IDS_MEMBERS = frozenset(
    {"external_ids", "user_aliases", "braze_id", "fields_to_export", *_UNKNOWN_HERE}
)
_PLATFORMS = frozenset({"callback_endpoint", "output_format"})
SEGMENT_MEMBERS = frozenset({"segment_id", "fields_to_export", *_PLATFORMS})


@dataclass(frozen=True, slots=True)
class Fields:
    """What an export has of each user: `known` fields. `unknown` are the requested names that no
    export has; the answer says so.
    """

    known: frozenset[str]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Identifiers, in the order in which they were sent, and the fields of the answer."""

    externals: tuple[str, ...]
    aliases: tuple[Alias, ...]
    users: tuple[str, ...]
    fields: Fields


def wanted(body: Mapping[str, Any]) -> Wanted:
    """The body of `/users/export/ids`. Raises Problem (400)."""
    for name in _UNKNOWN_HERE:
        if body.get(name) is not None:
            raise bad_request(f"{name}: it does not identify users here; send their external ids")
    externals = _texts("external_ids", body.get("external_ids"))
    aliases = _aliases(body.get("user_aliases"))
    single = body.get("braze_id")
    # Braze takes one; more in a list do no harm
    users = _texts("braze_id", [single] if isinstance(single, str) else single)
    for name in ("external_ids", "user_aliases", "braze_id"):
        sent = body.get(name)
        if isinstance(sent, list) and len(sent) > MOST_USERS:
            raise bad_request(f"{name} has at most {MOST_USERS} at once, not {len(sent):,}")
    if not (externals or aliases or users):
        raise bad_request("Send external_ids, user_aliases or braze_id")
    return Wanted(externals, aliases, users, fields_of(body))


def segment_of(body: Mapping[str, Any]) -> str:
    """The segment of `/users/export/segment`. Raises Problem (400)."""
    found = body.get("segment_id")
    if not isinstance(found, str) or not found:
        raise bad_request("segment_id is the id of a segment")
    return found


def archive_asked(body: Mapping[str, Any], accept: str) -> bool:
    """Whether a request for a segment wants the platform's answer instead of a stream.

    It does if the body has `callback_endpoint` or `output_format`, which only clients of the
    platform send, or if `Accept` names JSON; it does not if `Accept` names NDJSON.
    """
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if MEDIA_TYPES["ndjson"] in named:
        return False
    return "application/json" in named or not _PLATFORMS.isdisjoint(body)


def fields_of(body: Mapping[str, Any]) -> Fields:
    """The requested fields; all fields if none is named. Raises Problem (400)."""
    named = _texts("fields_to_export", body.get("fields_to_export"))
    if len(named) > MOST_FIELDS:
        raise bad_request(f"fields_to_export has at most {MOST_FIELDS} names, not {len(named):,}")
    unknown = tuple(name[:NAME_SHOWN] for name in named if name not in KNOWN_FIELDS)
    return Fields(frozenset(named or FIELDS) & KNOWN_FIELDS, unknown)


def _texts(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise bad_request(f"{name} is a list of texts")
    return tuple(dict.fromkeys(value))


def _aliases(value: object) -> tuple[Alias, ...]:
    """Alias objects: name and label identify an alias together; no label means an alias without a
    label.
    """
    listed = [value] if isinstance(value, dict) else value
    if listed is None:
        return ()
    found = []
    for each in listed if isinstance(listed, list) else [None]:
        name = each.get("alias_name") if isinstance(each, dict) else None
        label = each.get("alias_label", "") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name or not isinstance(label, str):
            raise bad_request("user_aliases is a list of objects with alias_name and alias_label")
        found.append(Alias(name, label))
    return tuple(dict.fromkeys(found))
