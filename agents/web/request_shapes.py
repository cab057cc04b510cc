"""The JSON schemas of answers about requests."""

from collections.abc import Mapping
from typing import Any

from agents.coordinator.rules.retention import SINCE
from agents.http.keys import ISSUED
from agents.requests.audit_facts import REFUSALS, WHYS
from agents.requests.erasure_facts import PLACES
from agents.requests.erasure_facts import STATES as ERASURE_STATES
from agents.requests.facts import STATES
from agents.requests.replay_plan import Left
from schemas.records.lifecycle import Outcome, State, Status

__all__ = ["PROGRESS", "REQUESTS", "UNDERSTOOD"]

_TEXT = {"type": "string"}
_NAME = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_MOMENT = {"type": ["integer", "null"], "description": "UTC milliseconds since 1970"}
_FLAG = {"type": "boolean"}


def _shape(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


PROGRESS = {
    "anyOf": [
        _shape(
            {
                "done": {**_COUNT, "description": "segments"},
                "total": {**_COUNT, "description": "segments; grows until every shard has told"},
                "bytes_done": _COUNT,
                "bytes": {
                    "type": ["integer", "null"],
                    "description": "in all; null for an expiry that is not over",
                },
                "seconds_left": {
                    "type": ["number", "null"],
                    "minimum": 0,
                    "description": "at the rate so far; null while none is known",
                },
            }
        ),
        {"type": "null"},
    ]
}
_REQUEST = {
    "request_id": _TEXT,
    "type": _TEXT,
    "state": {"enum": list(STATES)},
    "time": {"type": "integer"},
    "changed_at": {"type": "integer"},
    "actor": {**_NAME, "description": "the name of a key; others are marked as unverified"},
    "reason": _NAME,
    "tag": _NAME,
    "dry_run": _FLAG,
    "notify": {
        "type": ["array", "null"],
        "items": _TEXT,
        "description": "addresses of mail; null in events, and for keys without `operate`",
    },
    "code": _NAME,
    "message": _TEXT,
    "already": {**_FLAG, "description": "all of it was so before"},
    "counts": _shape(
        dict.fromkeys(("total", "running", "completed", "already", "refused", "failed"), _COUNT)
    ),
    "first": {
        "anyOf": [
            _shape(
                {
                    "source": _TEXT,
                    "name": {**_TEXT, "description": "the first 200 characters"},
                }
            ),
            {"type": "null"},
        ],
        "description": "one of its sources; null while none is known",
    },
    "progress": PROGRESS,
}
_PART = _shape(
    {
        "source": _TEXT,
        "name": _TEXT,
        "state": {"enum": [*(state.value for state in State), None]},
        "outcome": {"enum": [outcome.value for outcome in Outcome]},
        "code": _NAME,
        "already": {**_FLAG, "description": "it was so before: nothing had to be done"},
        "message": _TEXT,
        "time": {"type": "integer"},
        "progress": PROGRESS,
        "available_until": _MOMENT,
        "available_because": {**_NAME, "description": "why there is no such date"},
    }
)

_AUDIT_FACTS = {
    **_shape(
        {
            "why": {"enum": [*WHYS, None]},
            "refusal": {"enum": [*REFUSALS, None]},
            "used_by": {**_NAME, "description": "the definition that uses the source, or used it"},
            "used_by_name": _NAME,
            "held_by": _NAME,
            "since": {"enum": [*sorted(SINCE.values()), None]},
            "period": {**_NAME, "description": "the retention: an ISO 8601 period"},
            "due_at": _MOMENT,
            "note": {**_NAME, "description": "what an operator wrote"},
        }
    ),
    "description": "what `reason` and `detail` say, for programs",
}
_LIST_OF_TEXTS = {"type": "array", "items": _TEXT}
_PARTS = {"type": "array", "items": _shape({"id": _TEXT, "name": _TEXT})}
_REASON = _shape(
    {
        "code": _NAME,
        "state": {"enum": [*(state.value for state in State), None]},
        "already": {**_FLAG, "description": "it was so before: nothing had to be done"},
        "count": _COUNT,
    }
)
_EFFECT = _shape(
    {
        "sources": _COUNT,
        "interactions": _COUNT,
        "bytes": _COUNT,
        "seconds": {
            "type": ["number", "null"],
            "minimum": 0,
            "description": "at the rate that was measured; null where none was",
        },
        "measured": {
            "anyOf": [
                _shape(
                    {
                        "request_id": _TEXT,
                        "time": {"type": "integer"},
                        "bytes": _COUNT,
                        "seconds": {"type": "number", "minimum": 0},
                    }
                ),
                {"type": "null"},
            ],
            "description": "the request that the time comes from",
        },
    }
)
_WHOLE = {
    **_REQUEST,
    "sources": {"type": "array", "items": _PART},
    "next": _NAME,
    "reasons": {
        "type": "array",
        "items": _REASON,
        "description": "why sources were refused, failed or were so already, and how many",
    },
    "effect": {
        "anyOf": [_EFFECT, {"type": "null"}],
        "description": "what would be done; of dry runs only",
    },
}
_RECEIPT = _shape(
    {
        "time": {"type": "integer", "description": "the moment of the erasure"},
        "users": _COUNT,
        "shards": {**_COUNT, "description": "shards that were asked"},
        "done": {**_COUNT, "description": "shards that have nothing left to do"},
        "held": {**_LIST_OF_TEXTS, "description": "sources that keep their rows, hidden"},
        "places": {
            "type": "array",
            "items": _shape(
                {
                    "place": {"enum": list(PLACES)},
                    "state": {"enum": list(ERASURE_STATES)},
                    "at": {**_MOMENT, "description": "when all shards were done"},
                    "until": {**_MOMENT, "description": "null where no date is known"},
                    "rows": {"type": ["integer", "null"], "description": "that were removed"},
                    "why": _TEXT,
                }
            ),
        },
        "by_shard": {
            "type": "array",
            "items": _shape(
                {
                    "shard": _COUNT,
                    "hidden_at": _MOMENT,
                    "hot_at": _MOMENT,
                    "rows": _COUNT,
                    "archive_at": _MOMENT,
                    "archived": _COUNT,
                    "left": {**_COUNT, "description": "archived segments still to be looked at"},
                    "deleted_at": _MOMENT,
                    "apart_at": _MOMENT,
                    "merges": {**_COUNT, "description": "of other users into the erased ones"},
                }
            ),
            "description": "the first 100 of them",
        },
    }
)
UNDERSTOOD = {
    "type": "array",
    "items": _shape({"given": _TEXT, "source": _TEXT, "name": _TEXT}),
    "description": "sources that were named otherwise than by key, and what that was taken for",
}

_SESSION = {
    "keys": {"type": "boolean", "description": "Whether this worker asks for keys"},
    "name": _NAME,
    "scopes": {"type": "array", "items": {"enum": list(ISSUED)}},
    "until": {"type": ["integer", "null"], "description": "UTC milliseconds: its end"},
    "now": {"type": ["integer", "null"], "description": "UTC milliseconds: the worker's"},
}
REQUESTS: Mapping[str, Any] = {
    "RequestSummary": _shape(_REQUEST),
    "Request": _shape(_WHOLE),
    "AskedRequest": _shape({**_WHOLE, "understood": UNDERSTOOD}),
    "Requests": _shape(
        {
            "requests": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/RequestSummary"},
            },
            "next": _NAME,
        }
    ),
    "Erasure": _shape(
        {
            **_REQUEST,
            "receipt": {
                "anyOf": [_RECEIPT, {"type": "null"}],
                "description": "null of a dry run, and while the coordinator has not answered",
            },
        }
    ),
    "Sweep": _shape(
        {
            "paused": _FLAG,
            "suspended": {**_FLAG, "description": "the clocks differ"},
            "archive_fault": {
                **_NAME,
                "description": "how the archive topic would lose what moves to it, and the remedy: "
                "nothing expires",
            },
            "next_at": _MOMENT,
            "interval": _TEXT,
            "awaiting": {**_COUNT, "description": "sources that wait for a confirmation"},
            "confirm": {**_NAME, "description": "the id that `confirm` takes"},
            "confirm_share": {"type": "number"},
            "hot": _COUNT,
            "due": _COUNT,
            "sources": {
                "type": "array",
                "items": _shape({"source": _TEXT, "name": _TEXT, "due_at": {"type": "integer"}}),
                "description": "the first of those that are due",
            },
        }
    ),
    "Definition": _shape(
        {
            "key": _TEXT,
            "kind": _TEXT,
            "name": _TEXT,
            "status": {"enum": [*(status.value for status in Status), None]},
            "tags": _LIST_OF_TEXTS,
            "filters": {**_NAME, "description": "the filter as the catalog has it: JSON as text"},
            "references": _LIST_OF_TEXTS,
            "stopped_at": _MOMENT,
            "updated_at": _MOMENT,
            "legacy_deleted": _FLAG,
            "steps": _PARTS,
            "variations": _PARTS,
            "unreadable": {**_NAME, "description": "why the latest record is not used"},
        }
    ),
    "Definitions": _shape(
        {
            "definitions": {
                "type": "array",
                "items": _shape(
                    {
                        "key": _TEXT,
                        "kind": _TEXT,
                        "name": _TEXT,
                        "status": {"enum": [status.value for status in Status]},
                        "tags": _LIST_OF_TEXTS,
                        "updated_at": _MOMENT,
                    }
                ),
            },
            "total": _COUNT,
            "next": _NAME,
        }
    ),
    "Audit": _shape(
        {
            "entries": {
                "type": "array",
                "items": _shape(
                    {
                        "offset": _COUNT,
                        "event_id": _TEXT,
                        "source": _NAME,
                        "name": {**_NAME, "description": "of the source"},
                        "time": {"type": "integer"},
                        "decision": _TEXT,
                        "from_state": _NAME,
                        "to_state": _NAME,
                        "version": {"type": ["integer", "null"]},
                        "by": _NAME,
                        "reason": _NAME,
                        "detail": _NAME,
                        "request_id": _NAME,
                        "facts": _AUDIT_FACTS,
                    }
                ),
            },
            "next": {"type": ["integer", "null"]},
            "end": {**_COUNT, "description": "where to read on for what is decided later"},
        }
    ),
    "Rejected": _shape(
        {
            "counts": {
                "type": "array",
                "items": _shape(
                    {
                        "code": _TEXT,
                        "topic": _TEXT,
                        "count": _COUNT,
                        "last": {"type": "integer"},
                        "remedy": _NAME,
                    }
                ),
            },
            "total": _COUNT,
            "samples": {
                "type": "array",
                "items": _shape(
                    {
                        **dict.fromkeys(("code", "topic", "partition", "offset", "detail"), _TEXT),
                        "time": {"type": "integer"},
                        "user": _NAME,
                        "event_id": _NAME,
                        "value": {**_TEXT, "description": "the first bytes, as text"},
                        "remedy": _NAME,
                    }
                ),
            },
            "complete": {**_FLAG, "description": "whether all are counted"},
        }
    ),
    "Replayed": _shape(
        {
            "dry_run": _FLAG,
            "replayed": _COUNT,
            "counts": {
                "type": "array",
                "items": _shape({"code": _TEXT, "topic": _TEXT, "count": _COUNT}),
            },
            "left": {
                "type": "object",
                "additionalProperties": _COUNT,
                "description": "how many were not sent again, by reason: "
                + ", ".join(reason.value for reason in Left),
            },
            "before": {**_COUNT, "description": "sent again by an earlier replay"},
            "more": {**_FLAG, "description": "whether wanted records are left: ask again"},
        }
    ),
    "Settings": _shape(
        {
            "settings": {
                "type": "array",
                "items": _shape(dict.fromkeys(("name", "value", "origin", "doc"), _TEXT)),
            }
        }
    ),
    "Session": _shape(_SESSION),
    "SignedOut": _shape(
        {
            **_SESSION,
            "everywhere": {
                "type": "boolean",
                "description": "Whether all workers know that the session has ended",
            },
        }
    ),
    "SignIn": _shape({"key": {"type": "string", "minLength": 1, "maxLength": 1000}}),
    "Root": _shape({"name": _TEXT, "openapi": _TEXT, "asyncapi": _TEXT}),
    "Event": {
        "type": "object",
        "description": "a server-sent event; the first line of a stream sets `retry` only",
        "properties": {
            "event": {"enum": ["hello", "change", "reload", "beat", "dropped"]},
            "id": {**_TEXT, "description": "what `Last-Event-ID` resumes from"},
            "data": {
                **_TEXT,
                "contentMediaType": "application/json",
                "description": "`totals`, `sources`, `requests`, `age_s`; of `dropped` the "
                "`reason`",
            },
        },
        "required": ["data"],
    },
}
