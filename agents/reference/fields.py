"""The fields of records, from their schemas; and what each field means.

A schema's own `doc` says it where it has one. The words here complete it: a schema that has been
published keeps its bytes, so a text is added here and not there.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.reference.page import Table
from schemas.records import registry

__all__ = ["FieldFacts", "facts", "table", "undescribed"]

_TIME = "a time (milliseconds since 1970, UTC)"
_NAMES = {"string": "text", "boolean": "true or false", "int": "integer", "long": "integer"}

_ANYWHERE: Mapping[str, str] = {
    "event_id": "Unique id of the record; the same whenever the same fact is told again.",
    "source": "The source: `campaign:ID` or `canvas:ID`.",
    "name": "Its name for people.",
    "tags": "Tags of its definition.",
    "canvas_id": "At most one of campaign_id and canvas_id.",
    "canvas_step_id": "The step of the Canvas.",
    "channel": "How the message was sent. Another word counts as OTHER.",
    "bytes": "Bytes of the stored segments.",
    "segments": "Number of stored segments.",
    "due_at": "When it expires.",
    "stopped_at": "When its definition stopped.",
    "request_id": "Id of the request.",
}
_OF: Mapping[str, Mapping[str, str]] = {
    "click": {"link_alias": "The alias of the link.", "url": "The address of the link."},
    "signal": {"signal_type": "The kind of fact. Another word counts as OTHER."},
    "user": {
        "user_id": "The user. The key of the record is the same id.",
        "external_user_id": "The customer's own id for the user.",
    },
    "user.user_aliases": {"alias_name": "The alias."},
    "definition": {
        "name": "Its name for people.",
        "status": "DRAFT, ACTIVE, STOPPED or ARCHIVED, in any case.",
        "filters": "The filter that chooses its users.",
        "tags": "Tags, for filters by tag and for restores by tag.",
        "variations": "Variants of the campaign or variations of the Canvas, with their names.",
        "steps": "Steps of the Canvas, with their names.",
    },
    "definition.variations": {"id": "The id that events have.", "name": "Its name for people."},
    "definition.steps": {"id": "The id that events have.", "name": "Its name for people."},
    "command": {
        "dry_run": "Check each source and change nothing.",
        "requested_by": "Who asks. Anybody can write it, so it is marked `(unverified)`.",
        "reason": "Why, for the audit.",
    },
    "result": {
        "outcome": "What became of it.",
        "message": "The same in words.",
        "done": "Segments or sources that are done.",
        "total": "Segments or sources in all.",
        "time": "When it was decided.",
    },
    "expired": {
        "due_at": "When it was due.",
        "expired_at": "When its data had moved to the archive.",
        "reason": "`retention`, or `operator` for the command expire.",
    },
    "restored": {
        "requested_by": "Who asked.",
        "requested_at": "When it was asked.",
        "restored_at": "When its data was available again.",
    },
    "expiring_soon": {
        "days_left": "Days until then, rounded up.",
        "time": "When this was announced.",
    },
    "state": {
        "state": "Its state.",
        "kind": "campaign or canvas.",
        "due_because": "From which moment the retention runs, and how long it is.",
        "exempt_by": "Who uses the source, and how.",
        "held": "Who holds the source.",
        "legacy_deleted": "Deleted for good under the older policy.",
        "restored_at": "When its data was available again last.",
        "expired_at": "When its data had moved to the archive last.",
        "interactions": "Stored rows, as they were when the source expired last.",
        "bytes": "Bytes of the archived segments.",
        "segments": "Number of archived segments.",
        "checksum": "Over the set of (segment id, segment checksum).",
        "message": "What is wrong or under way, in words.",
        "updated_at": "When this record was made.",
    },
    "state.held": {
        "by": "Who asked for the hold.",
        "reason": "Why.",
        "since": "Since when.",
    },
    "state.failure": {
        "code": "What is wrong, as a code of docs/reference/codes.md.",
        "shard": "The shard that has met it.",
        "place": "The record: topic[partition]@offset; empty: no single record.",
        "segment": "The segment that the record should be; empty: none.",
        "detail": "What is wrong, in words.",
        "remedy": "What to do.",
        "since": "Since when.",
    },
    "audit": {
        "source": "The source; null: not about one source.",
        "time": "When it was decided.",
        "decision": "What was decided, as a word of docs/reference/decisions.md.",
        "from_state": "State of the source before.",
        "to_state": "State of the source after.",
        "version": "Version of the source's record in `lifecycle.state`.",
        "by": "Who asked.",
        "reason": "Why.",
        "detail": "More in words.",
        "request_id": "Id of the request that led to it.",
    },
    "report": {
        "partition": "The shard.",
        "time": "When it was reported.",
        "items": "One entry for each source.",
        "erasures": "One entry for each request that erases users.",
    },
    "report.erasures": {
        "request_id": "Id of the request; the shard hides its users in any case.",
        "rows": "Rows that were removed from segments.",
        "hot": "No segment and no other table has rows of the users.",
        "archived": "Rows that were removed from archived segments.",
        "left": "Archived segments that have still to be looked at.",
        "archive": "No archived segment that counts has rows of the users.",
        "deleted": "The former copies of archived segments are deleted.",
        "held": "Sources that keep their rows, because somebody holds them.",
        "merges": "Records of other users that named the users in `merged_into`.",
        "apart": "No record of another user names the users in `merged_into`.",
    },
    "report.items": {
        "version": "Version of the source's record in `lifecycle.state` that was carried out.",
        "phase": "What was done.",
        "interactions": "Rows.",
        "late_interactions": "Rows that came while the source was hidden.",
        "checksum": "Over the set of (segment id, segment checksum).",
        "done": "Segments that are done.",
        "total": "Segments in all.",
        "code": "What is wrong, as a code of docs/reference/codes.md; empty: nothing.",
        "place": "The damaged record: topic[partition]@offset.",
        "segment": "The segment that it should be.",
        "detail": "The same in words.",
    },
}


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """One field: its path (`user_aliases.alias_name`), type and default in words, and meaning.

    `default` is empty if the field is required.
    """

    path: str
    type: str
    default: str
    doc: str

    @property
    def required(self) -> bool:
        """Whether a record must have it."""
        return not self.default


def facts(name: str) -> list[FieldFacts]:
    """The fields of the record `name`, those of inner records behind the field that has them."""
    return list(_fields(name, "", registry.raw(name)["fields"], {}))


def undescribed() -> list[str]:
    """Fields of any record that neither the schema nor this module describes."""
    return [f"{name}.{one.path}" for name in registry.NAMES for one in facts(name) if not one.doc]


def table(name: str) -> Table:
    """The fields of a record, a row each."""
    return Table(
        ("field", "type", "default", "meaning"),
        tuple((f"`{one.path}`", one.type, one.default, one.doc) for one in facts(name)),
    )


def meaning(name: str, inside: str, field: Mapping[str, Any]) -> str:
    """What a field means; `inside` is the path of the field that has it, empty at the top."""
    record = f"{name}.{inside}" if inside else name
    own = _OF.get(record, {}).get(field["name"])
    found: str = own or field.get("doc") or _ANYWHERE.get(field["name"], "")
    return found


def _fields(
    name: str, inside: str, fields: list[dict[str, Any]], named: dict[str, Any]
) -> Iterator[FieldFacts]:
    for field in fields:
        words, inner = _type(field, field["type"], named)
        path = f"{inside}.{field['name']}" if inside else field["name"]
        yield FieldFacts(path, words, _default(field), meaning(name, inside, field))
        if inner is not None:
            yield from _fields(name, path, inner["fields"], named)


def _type(
    field: Mapping[str, Any], kind: Any, named: dict[str, Any]
) -> tuple[str, dict[str, Any] | None]:
    """A type in words, and the record that it has inside."""
    if isinstance(kind, list):
        words, inner = _type(field, next(one for one in kind if one != "null"), named)
        return f"{words}, or null", inner
    if isinstance(kind, str):
        if kind in named:
            return "an object", named[kind]
        if field.get("content") == "json":
            return "an object, or its JSON text", None
        return _NAMES[kind], None
    if kind.get("logicalType") == "timestamp-millis":
        return _TIME, None
    if kind["type"] == "array":
        words, inner = _type(field, kind["items"], named)
        return ("a list of objects" if inner else f"a list of {words}s"), inner
    named[kind["name"]] = kind
    if kind["type"] == "enum":
        return f"one of {', '.join(kind['symbols'])}", None
    return "an object", kind


def _default(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    if value in ("", []):
        return "empty"
    return value if isinstance(value, str) else json.dumps(value)
