"""The JSON schemas of answers about users, for `/openapi.json`."""

from typing import Any

from agents.shard.user_read import MOST_USERS
from agents.users.braze import FIELDS, KNOWN_FIELDS
from agents.web.shapes import shape

__all__ = [
    "ARCHIVE",
    "ARCHIVE_STATE",
    "EXPORTED",
    "IDS_REQUEST",
    "PROFILE",
    "SEGMENT_REQUEST",
    "USER_OBJECT",
]

_TEXT = {"type": "string", "minLength": 1}
_NAME = {"type": ["string", "null"]}
_FLAG = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}
_MAYBE_TIME = {"type": ["string", "null"], "format": "date-time"}
_TEXTS = {"type": "array", "items": {"type": "string"}}


def _list(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, **more}


def _or_null(found: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [found, {"type": "null"}]}


def _some(properties: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    """An object of which only some members are always present."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_BOUNDS = {"first": _TIME, "last": _TIME}
_SPAN = _or_null(shape(_BOUNDS))
_NAMED = shape({"id": _TEXT, "name": _TEXT, **_BOUNDS})
_ENTRY = {
    "source": _TEXT,
    "name": _TEXT,
    "state": _NAME,
    "received": _SPAN,
    "channels": _TEXTS,
    "variations": _list(_NAMED),
    "opened": _SPAN,
    "machine_opened": _SPAN,
    "clicked": _SPAN,
    "bot_clicked": _SPAN,
    "aliases_clicked": _list(shape({"alias": {"type": "string"}, **_BOUNDS})),
    "converted": _FLAG,
    "conversions": _list(shape({"index": _COUNT, **_BOUNDS})),
    "entered": _SPAN,
    "in_control": _FLAG,
    "exited": _SPAN,
}
_RECEIVED = {
    "campaigns_received": _list(shape(_ENTRY)),
    "canvas_messages_received": _list(shape({**_ENTRY, "steps": _list(_NAMED)})),
}
_READ = ("sources", "segments", "bytes")
_HIDDEN = {
    "entries": {**_COUNT, "description": "Sources that are known to hide something"},
    "sources": _list(
        shape({"source": _TEXT, "name": _TEXT, "state": _NAME, "interactions": _COUNT})
    ),
    "unchecked": shape(
        {"count": _COUNT, "sources": _TEXTS},
        description="Archived sources that may hide more: only a restore can tell",
    ),
}
_SIGNALS = shape(
    {
        "hard_bounced": _MAYBE_TIME,
        "marked_spam": _MAYBE_TIME,
        "invalid_phone": _MAYBE_TIME,
        "inbound_keywords": _list(shape({"category": _NAME, "last": _TIME})),
        "feature_flags": _list(shape({"id": _NAME, "last": _TIME})),
    }
)
_ALIAS = {"alias_name": _TEXT, "alias_label": {"type": "string"}}
PROFILE = shape(
    {
        "user_id": _TEXT,
        "external_user_id": _NAME,
        "aliases": {**_TEXTS, "description": "Those without a label"},
        "user_aliases": {**_list(shape(_ALIAS)), "description": "Those with a label"},
        "in_roster": _FLAG,
        "merged_from": {**_NAME, "description": "Who was asked for, if they became this user"},
        "merged_users": {
            **_TEXTS,
            "description": "Ids that were merged into this user: their data is here too",
        },
        **_RECEIVED,
        "through_archive": {
            **_or_null(
                shape(
                    {
                        **_RECEIVED,
                        "read": shape(dict.fromkeys(_READ, _COUNT)),
                        "damaged": _list(shape({"source": _TEXT, "name": _TEXT, "what": _TEXT})),
                    }
                )
            ),
            "description": "What expired sources have of the user, what was read in the archive "
            "for it, and each record that is damaged: what it holds is missing here; null unless "
            "it is asked for",
        },
        "signals": _SIGNALS,
        "feed_views": shape({"count": _COUNT, "last": _MAYBE_TIME}),
        "excluded_expired": shape(
            {
                **_HIDDEN,
                "archived": {
                    **_list(shape({"source": _TEXT, "name": _TEXT, "state": _NAME})),
                    "description": "Those of `unchecked`, with names",
                },
            }
        ),
    }
)
_ENGAGED = ("opened_email", "opened_push", "clicked_email", "clicked_triggered_in_app_message")
_CAMPAIGN = {
    "name": _TEXT,
    "last_received": _TIME,
    "engaged": shape(dict.fromkeys(_ENGAGED, _FLAG)),
    "converted": _FLAG,
    "multiple_converted": {"type": "object", "additionalProperties": {"const": True}},
    "api_campaign_id": _TEXT,
    "variation_name": _TEXT,
    "variation_api_id": _TEXT,
    "in_control": _FLAG,
}
_CANVAS = {
    "name": _TEXT,
    "api_canvas_id": _TEXT,
    "last_received_message": _TIME,
    "last_entered": _TIME,
    "variation_name": _TEXT,
    "in_control": _FLAG,
    "last_entered_control_at": _TIME,
    "last_exited": _TIME,
    "steps_received": _list(
        shape({"name": _TEXT, "api_canvas_step_id": _TEXT, "last_received": _TIME})
    ),
}
USER_OBJECT = _some(
    {
        "external_id": {"type": "string"},
        "user_aliases": _list(shape(_ALIAS)),
        "braze_id": {"type": "string"},
        "campaigns_received": _list(
            _some(_CAMPAIGN, ("name", "engaged", "converted", "api_campaign_id"))
        ),
        "canvases_received": _list(
            _some(_CANVAS, ("name", "api_canvas_id", "in_control", "steps_received"))
        ),
    },
    (),
)
EXPORTED = shape(
    {
        "message": {"const": "success"},
        "users": _list(USER_OBJECT),
        "invalid_user_ids": _TEXTS,
        "unknown_fields": {**_TEXTS, "description": "Names in fields_to_export that no export has"},
        "excluded_expired": shape(
            {**_HIDDEN, "users": {"type": "object", "additionalProperties": _TEXTS}}
        ),
    }
)
_UNKNOWN_FIELDS = {**_TEXTS, "description": "Names in fields_to_export that no export has"}
ARCHIVE = shape(
    {
        "message": {"const": "success"},
        "object_prefix": {**_TEXT, "description": "The files in the archive begin with it"},
        "url": {**_TEXT, "description": "Where the archive will be; needs a key as this call does"},
        "unknown_fields": _UNKNOWN_FIELDS,
    }
)
ARCHIVE_STATE = shape(
    {
        "object_prefix": _TEXT,
        "state": {"enum": ["making", "ready", "failed"]},
        "detail": {**_NAME, "description": "Why it failed"},
        "available_until": _MAYBE_TIME,
        "count": {"type": ["integer", "null"], "description": "Users in the archive"},
        "excluded_expired": _or_null(shape(_HIDDEN)),
        "unknown_fields": _or_null(_UNKNOWN_FIELDS),
    }
)
_FIELDS = _list(
    {**_TEXT, "examples": sorted(KNOWN_FIELDS)},
    description=f"All that there are where none is named. Filled here: {', '.join(FIELDS)}. "
    "Unknown names are passed over; `unknown_fields` of the answer has them",
)
_ALIAS = {
    "type": "object",
    "properties": {"alias_name": _TEXT, "alias_label": {"type": "string"}},
    "required": ["alias_name"],
}
_NOT_KNOWN = {"type": "null", "description": "it does not identify users here"}
IDS_REQUEST = _some(
    {
        "external_ids": _or_null(_list(_TEXT, maxItems=MOST_USERS)),
        "user_aliases": _or_null({"anyOf": [_list(_ALIAS, maxItems=MOST_USERS), _ALIAS]}),
        "braze_id": _or_null({"anyOf": [_TEXT, _list(_TEXT, maxItems=MOST_USERS)]}),
        "fields_to_export": _or_null(_FIELDS),
        "device_id": _NOT_KNOWN,
        "email_address": _NOT_KNOWN,
        "phone": _NOT_KNOWN,
    },
    (),
)
SEGMENT_REQUEST = _some(
    {
        "segment_id": _TEXT,
        "fields_to_export": _or_null(_FIELDS),
        "callback_endpoint": {"description": "Asks for a file; nothing is ever sent there"},
        "output_format": {"description": "Asks for a file, which is always a ZIP file"},
    },
    ("segment_id",),
)
