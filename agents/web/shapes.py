"""The JSON schemas of answers by name, for `/openapi.json`."""

from collections.abc import Mapping
from typing import Any, get_args

from agents.coordinator.rules.retention import SINCE
from agents.filters.description import FieldType
from agents.requests.imports import ImportState
from agents.web.request_shapes import PROGRESS, UNDERSTOOD
from agents.web.user_columns import COLUMNS as AUDIENCE_COLUMNS
from schemas.records.lifecycle import FailureCode, State
from schemas.tables.interaction import CHANNELS, KINDS

__all__ = ["COMPONENTS"]

_TEXT = {"type": "string"}
_NAME = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_MOMENT = {"type": ["integer", "null"], "description": "UTC milliseconds since 1970"}
_SHARDS = {"type": "array", "items": _COUNT}
_TEXTS = {"type": "array", "items": _TEXT}
_KIND = {"enum": list(KINDS)}
_CHANNEL = {"enum": [*CHANNELS, None]}
_STATE = {"enum": [state.value for state in State]}


def shape(properties: Mapping[str, Any], *, more: bool = False, **rest: Any) -> dict[str, Any]:
    """An object with all of these members, and no others unless `more`."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": more,
        **rest,
    }


def _list(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_SIZES = shape(
    {
        "rows": _COUNT,
        "bytes": _COUNT,
        "segments": _COUNT,
        "archived_rows": _COUNT,
        "archived_bytes": _COUNT,
        "archived_segments": _COUNT,
    }
)
_EXPORT_SIZE = shape({"rows": _COUNT, "bytes": _COUNT})
_EXEMPTION = shape({"root": _TEXT, "through": _TEXTS, "filter": _TEXT})
_HOLD = shape(
    {
        "by": _TEXT,
        "reason": _NAME,
        "since": _MOMENT,
        "legal": {"type": "boolean", "description": "only another person may release it"},
    }
)
_FAILURE = {
    "anyOf": [
        shape(
            {
                "code": {"enum": [code.value for code in FailureCode]},
                "shard": _COUNT,
                "place": {**_TEXT, "description": "topic[partition]@offset, or empty"},
                "segment": {**_TEXT, "description": "the segment that should be there, or empty"},
                "detail": _TEXT,
                "remedy": _TEXT,
                "since": _MOMENT,
                "final": {
                    "type": "boolean",
                    "description": "a person has to act before it is tried again",
                },
            }
        ),
        {"type": "null"},
    ],
    "description": "why the last restore failed, or why the work under way does not go on",
}
_DUE_FROM = {
    "anyOf": [
        shape(
            {
                "since": {"enum": sorted(SINCE.values())},
                "period": {**_TEXT, "description": "the retention: an ISO 8601 period"},
            }
        ),
        {"type": "null"},
    ],
    "description": "what `due_because` says",
}
_CHANGE = shape(
    {
        "change": _TEXT,
        "code": {"enum": ["stopped", "all_stopped", "defined", "released", "restored", "as_if"]},
        "definitions": {**_TEXTS, "description": "keys of those that change"},
        "summary": _TEXT,
        "state": _STATE,
        "due_at": _MOMENT,
        "due_because": _NAME,
        "due_from": _DUE_FROM,
        "held": {"anyOf": [_HOLD, {"type": "null"}]},
        "exempt_by": _list(_EXEMPTION),
    }
)
_SOURCE = {
    "source": _TEXT,
    "kind": {"enum": ["campaign", "canvas"]},
    "state": _STATE,
    "version": _COUNT,
    "epoch": _COUNT,
    "name": _TEXT,
    "tags": _TEXTS,
    "status": _NAME,
    "unknown": {"type": "boolean"},
    "visible": {"type": "boolean"},
    "deleted": {"type": "boolean"},
    "legacy_deleted": {"type": "boolean"},
    "due_at": _MOMENT,
    "due_because": _NAME,
    "exempt_by": _list(_EXEMPTION),
    "held": {"anyOf": [_HOLD, {"type": "null"}]},
    "stopped_at": _MOMENT,
    "restored_at": _MOMENT,
    "expired_at": _MOMENT,
    "interactions": _COUNT,
    "bytes": _COUNT,
    "segments": _COUNT,
    "checksum": _NAME,
    "stuck": _SHARDS,
    "message": _NAME,
    "failure": _FAILURE,
    "updated_at": _MOMENT,
    "progress": PROGRESS,
    "why": _TEXTS,
    "sizes": {
        "anyOf": [_SIZES, {"type": "null"}],
        "description": "null while not all shards are there to be summed",
    },
    "last_event_on": {
        "type": ["string", "null"],
        "format": "date",
        "description": "the day of the last event, UTC; an expiry does not change it",
    },
}

_IMPORT = shape(
    {
        "id": _TEXT,
        "state": {"enum": list(ImportState)},
        "file": _TEXT,
        **dict.fromkeys(("records", "bad", "done_bytes", "total_bytes"), _COUNT),
        "per_second": {"type": "number"},
        "seconds_left": {"type": ["number", "null"]},
        "began": _MOMENT,
        "told": _MOMENT,
    }
)

COMPONENTS: Mapping[str, Any] = {
    "Status": shape(
        {
            "address": _TEXT,
            "generation": {"type": "integer"},
            "ready": {"type": "boolean"},
            "awaited": {**_TEXTS, "description": "what it is not ready for; empty if it is"},
            "coordinator": {"type": "boolean"},
            "coordinator_address": _NAME,
            "partitions": _COUNT,
            "shards": _list(
                {
                    "type": "object",
                    "description": "`events_per_s`: since the question before, null without one "
                    "from 1 to 60 seconds ago; `lag_s`: the age of the newest record that is "
                    "folded, by the records' own times; 0 if all are folded, null if none is",
                }
            ),
            "memory": shape(
                {
                    "budget": {**_COUNT, "description": "bytes: the setting `memory_budget`"},
                    "resident": {"type": ["integer", "null"], "description": "bytes in use"},
                }
            ),
            "stuck": shape(
                {
                    "count": {
                        **_COUNT,
                        "description": "sources with shards that have not reported",
                    },
                    "first": _list(
                        shape(
                            {
                                "source": _TEXT,
                                "name": _TEXT,
                                "state": _STATE,
                                "shards": _SHARDS,
                                "since": _MOMENT,
                            }
                        )
                    ),
                }
            ),
            "imports": {
                **_list(_IMPORT),
                "description": "what imports have told this worker, the latest to begin first",
            },
            "directory": {"type": "object", "additionalProperties": _TEXT},
            "keys": {**_NAME, "description": "what is wrong with the keys file"},
            "certificate": {
                "description": "of a worker that serves https",
                "anyOf": [
                    shape(
                        {
                            "until": {
                                "type": ["integer", "null"],
                                "description": "its end, UTC milliseconds; null if it is not valid",
                            },
                            "trouble": {
                                **_NAME,
                                "description": "what is wrong with it, or with its new files",
                            },
                        }
                    ),
                    {"type": "null"},
                ],
            },
            "tls": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "what is wrong with certificates, by their use: listener, workers "
                "(asking the others), kafka",
            },
            "broker": {
                **_NAME,
                "description": "why the brokers refuse new connections of this worker, or which "
                "rights it lacks",
            },
            "topics": _list({"type": "object"}),
            "sources": {"type": "object", "additionalProperties": _COUNT},
            "sweep": shape(
                {
                    "paused": {"type": "boolean"},
                    "suspended": {"type": "boolean", "description": "the clocks differ"},
                    "archive_fault": {
                        **_NAME,
                        "description": "how the archive topic would lose what moves to it, and the "
                        "remedy: nothing expires",
                    },
                    "awaiting": {**_COUNT, "description": "sources that wait for a confirmation"},
                    "confirm": {**_NAME, "description": "the id that `confirm` takes"},
                }
            ),
            "unreadable": shape(
                {
                    "count": {**_COUNT, "description": "definitions that cannot be read"},
                    "first": {"type": "object", "additionalProperties": _TEXT},
                }
            ),
            "misspelt": {
                **_list({"type": "object"}),
                "description": "fields of JSON records that are nearly one of those that are read",
            },
        }
    ),
    "Workers": shape(
        {
            "now": _MOMENT,
            "partitions": _COUNT,
            "workers": _list(
                shape(
                    {
                        "address": _TEXT,
                        "trouble": {**_NAME, "description": "why it does not answer"},
                        "status": {"anyOf": [_ref("Status"), {"type": "null"}]},
                    }
                )
            ),
        }
    ),
    "SourceState": shape(_SOURCE),
    "Source": shape({**_SOURCE, "missing_shards": _SHARDS}),
    "Sources": shape(
        {
            "sources": _list(_ref("SourceState")),
            "names": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "of what uses the sources, and of segments between, by key",
            },
            "total": _COUNT,
            "next": _NAME,
            "sorted_at": {**_MOMENT, "description": "of when an order by sizes is"},
            "missing_shards": _SHARDS,
        }
    ),
    "Analytics": shape(
        {
            "source": _TEXT,
            "name": _TEXT,
            "totals": _list(
                shape(
                    {
                        "day": {
                            **_TEXT,
                            "format": "date",
                            "description": "UTC, of the event's own time",
                        },
                        "kind": _KIND,
                        "channel": _CHANNEL,
                        "step": _NAME,
                        "variation": _NAME,
                        "detail": {**_NAME, "description": "the index of a conversion"},
                        "count": _COUNT,
                    }
                )
            ),
            "unique_users": _list(
                shape(
                    {
                        "kind": _KIND,
                        "channel": _CHANNEL,
                        "step": _NAME,
                        "variation": _NAME,
                        "users": _COUNT,
                    }
                )
            ),
        }
    ),
    "Explanation": shape(
        {
            "source": _TEXT,
            "name": _TEXT,
            "state": _STATE,
            "visible": {"type": "boolean"},
            "summary": {**_TEXT, "description": "one sentence for people"},
            "due_at": _MOMENT,
            "due_because": _NAME,
            "due_from": _DUE_FROM,
            "legacy_deleted": {"type": "boolean"},
            "unreadable": {**_NAME, "description": "why its latest definition cannot be read"},
            "held": {"anyOf": [_HOLD, {"type": "null"}]},
            "failure": _FAILURE,
            "reasons": _list(
                shape(
                    {
                        "root": _TEXT,
                        "through": _TEXTS,
                        "filter": _TEXT,
                        "links": _list(
                            shape(
                                {
                                    "definition": _TEXT,
                                    "path": _TEXT,
                                    "filter": _TEXT,
                                    "target": _TEXT,
                                }
                            )
                        ),
                    }
                )
            ),
            "changes": _list(_CHANGE),
            "as_if": {"anyOf": [_CHANGE, {"type": "null"}]},
            "names": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "key to name of all that it speaks of",
            },
        }
    ),
    "Filters": shape(
        {
            "filters": _list(
                shape(
                    {
                        "filter": _TEXT,
                        "about": {"enum": ["source", "tag", "user", "segment"]},
                        "fields": _list(
                            shape(
                                {
                                    "name": _TEXT,
                                    "type": {"enum": list(get_args(FieldType))},
                                    "required": {"type": "boolean"},
                                    "values": _list({"type": ["string", "integer"]}),
                                    "default": {"type": ["string", "integer", "null"]},
                                }
                            )
                        ),
                        "bounds": {
                            "enum": ["one at most", "one at least", None],
                            "description": "how many of `after` and `before` it takes",
                        },
                    }
                )
            ),
            "most_levels": _COUNT,
            "most_nodes": _COUNT,
            "columns": _TEXTS,
        }
    ),
    "ExportSize": shape(
        {
            "source": _TEXT,
            "name": _TEXT,
            "users": {**_EXPORT_SIZE, "description": "of `users.csv`"},
            "interactions": {**_EXPORT_SIZE, "description": "of `interactions?format=csv`"},
            "exact": {"type": "boolean", "description": "false: estimated from some of the rows"},
            "read": {**_COUNT, "description": "the rows that were read for it"},
        }
    ),
    "AudienceRequest": {
        "type": "object",
        "required": ["filter"],
        "additionalProperties": False,
        "properties": {
            "filter": {"type": "object", "description": "the filter language"},
            "now": {
                "type": ["string", "integer", "null"],
                "description": "RFC 3339, or UTC milliseconds since 1970",
            },
            "on_expired": {"enum": ["refuse", "exclude", None]},
            "limit": {"type": ["integer", "null"], "minimum": 0},
            "cursor": _NAME,
            "columns": {
                "type": ["array", "null"],
                "items": {"enum": list(AUDIENCE_COLUMNS)},
                "minItems": 1,
                "uniqueItems": True,
                "description": "of NDJSON, CSV and Parquet, in this order",
            },
        },
    },
    "Audience": shape(
        {
            "count": _COUNT,
            "users": _TEXTS,
            "next": _NAME,
            "now": _TEXT,
            "evaluated_at": _TEXT,
            "lag": {**_COUNT, "description": "events acknowledged and not folded: the worst shard"},
            "held_back": {
                **_COUNT,
                "description": "of those, behind a transaction that a producer has not ended",
            },
            "on_expired": {"enum": ["refuse", "exclude"]},
            "excluded_expired": _TEXTS,
            "excluded": {
                **_list(shape(dict.fromkeys(("source", "name", "filter", "path"), _TEXT))),
                "description": "for which leaves; the first 1,000 at most",
            },
            "excluded_total": {**_COUNT, "description": "how many `excluded` would name"},
            "understood": UNDERSTOOD,
        }
    ),
}
