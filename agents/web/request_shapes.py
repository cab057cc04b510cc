"""What is told of requests, as JSON schemas."""

from collections.abc import Mapping
from typing import Any

from agents.requests.facts import STATES
from schemas.records.lifecycle import Outcome, State

__all__ = ["REQUESTS"]

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


_PROGRESS = {
    "anyOf": [
        _shape(
            {
                "done": {**_COUNT, "description": "segments"},
                "total": {**_COUNT, "description": "segments; grows until every shard has told"},
                "bytes_done": _COUNT,
                "bytes": _COUNT,
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
    "notify": {"type": "array", "items": _TEXT},
    "code": _NAME,
    "message": _TEXT,
    "already": {**_FLAG, "description": "all of it was so before"},
    "counts": _shape(
        dict.fromkeys(("total", "running", "completed", "already", "refused", "failed"), _COUNT)
    ),
    "progress": _PROGRESS,
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
        "progress": _PROGRESS,
        "available_until": _MOMENT,
        "available_because": {**_NAME, "description": "why there is no such date"},
    }
)

REQUESTS: Mapping[str, Any] = {
    "RequestSummary": _shape(_REQUEST),
    "Request": _shape({**_REQUEST, "sources": {"type": "array", "items": _PART}, "next": _NAME}),
    "Requests": _shape(
        {
            "requests": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/RequestSummary"},
            },
            "next": _NAME,
        }
    ),
}
