"""Limits on the size of the coordinator's inputs.

The coordinator writes every input again in records of its own, several times and also as JSON. A
command or definition that leads to a record above the size limit could never be committed: its step
would be repeated for ever. So it is refused when it is read.
"""

import json
import re
from dataclasses import asdict, astuple

from schemas.records import times
from schemas.records.lifecycle import (
    SOURCE_KINDS,
    TROUBLE_TEXT,
    Command,
    Definition,
    Report,
    is_source,
)

__all__ = [
    "HELD_NAMED",
    "HUGE",
    "KEY_KINDS",
    "MAX_SOURCES",
    "MAX_USERS",
    "NO_SEGMENT",
    "clipped",
    "command_fault",
    "is_catalog_key",
    "is_request_id",
    "is_segment",
    "report_fault",
    "request_id_fault",
    "shared",
    "unfit",
]

TEXT = 1_000
"""Characters of a source or a tag in a command."""
WORD = 250
"""Characters of a word that is told with each source of a command: an id, a name."""
REASON = 10_000
"""Characters of free text."""
REASONS = 100_000
"""Characters of free text of all sources of one command together."""
KEY_BYTES = 600
RECIPIENTS = 20
"""Addresses that one command may name."""
MAX_SOURCES = 50_000
"""Sources of one request: all of them are told of in one transaction."""
HELD_NAMED = 20
"""Held sources that one report of an erasure names."""
MAX_USERS = 10_000
"""Users of one request: their sealed texts are one record."""
KEY_KINDS = (*SOURCE_KINDS, "segment", "content_card")
HUGE = 1 << 53
"""Sums of such numbers, over all shards, are still written."""
_CHECKSUM = re.compile(r"[0-9a-f]{0,32}")
_SURROGATES = re.compile("[\ud800-\udfff]")
_PLACE = re.compile(r"control-\d+-\d+$")
"""The id of a command that was written without one ends so."""
_NO_SEGMENTS = (".", "..")
NO_SEGMENT = "cannot be part of an address: programs take . and .. for steps in its path"
_LABEL_BYTES = 20_000
_DEFINITION_BYTES = 600_000
_SURELY_SMALL = 100_000


def command_fault(command: Command) -> str | None:
    """Why a command is too large, or None."""
    words = {
        "type": command.type,
        "request_id": command.request_id or "",
        "tag": command.tag or "",
        "requested_by": command.requested_by,
        "notify_email": command.notify_email or "",
    }
    for name, word in words.items():
        most = TEXT if name == "tag" else WORD
        if not _is_word(word, most):
            return f"{name} is longer than {most} characters or holds control characters"
    if command.request_id in _NO_SEGMENTS:
        return f"the request id {command.request_id!r} {NO_SEGMENT}"
    count = len(set(command.sources))
    if count > MAX_SOURCES:
        return f"{count} sources are more than {MAX_SOURCES}: ask in parts"
    if not all(map(_is_text, command.sources)):
        return f"a source is longer than {TEXT} characters or is no text"
    fault = _users_fault(command.users)
    if fault is not None:
        return fault
    if len(command.notify) > RECIPIENTS:
        return f"{len(command.notify)} addresses to notify are more than {RECIPIENTS}"
    if not all(_is_word(address, WORD) for address in command.notify):
        return f"an address in notify is longer than {WORD} characters or holds control characters"
    if not _is_text(command.reason or "", REASON):
        return f"reason is longer than {REASON} characters or is no text"
    return None


def _users_fault(users: tuple[str, ...]) -> str | None:
    count = len(set(users))
    if count > MAX_USERS:
        return f"{count} users are more than {MAX_USERS}: ask in parts"
    if not all(user and _is_text(user) for user in users):
        return f"a user is empty, is longer than {TEXT} characters or is no text"
    return None


def unfit(definition: Definition, now: int | None = None) -> tuple[str, str] | None:
    """`(code, detail)` if a definition cannot be stored, or None. `now`: UTC milliseconds."""
    kind, _, name = definition.key.partition(":")
    if kind not in KEY_KINDS or not name:
        named = ", ".join(f"{kind}:ID" for kind in KEY_KINDS)
        return "undecodable", f"the key {definition.key[:80]!r} is none of {named}"
    if len(definition.key.encode()) > KEY_BYTES:
        return "too_large", f"the key is longer than {KEY_BYTES} bytes"
    if len("".join((definition.name, *definition.tags)).encode()) > _LABEL_BYTES:
        return "too_large", f"name and tags are longer than {_LABEL_BYTES} bytes"
    parts = (text for part in (*definition.steps, *definition.variations) for text in astuple(part))
    texts = (definition.filters or "", *definition.references, *parts)
    if sum(map(len, texts)) > _SURELY_SMALL:
        size = len(json.dumps(asdict(definition)))
        if size > _DEFINITION_BYTES:
            return "too_large", f"{size} bytes as JSON are more than {_DEFINITION_BYTES}"
    # a stop may be planned; but what was updated in the future would shut out what comes after
    fault = times.fault("stopped_at", definition.stopped_at) or times.fault(
        "updated_at", definition.updated_at, now=now
    )
    return None if fault is None else ("bad_time", fault)


def is_catalog_key(key: str) -> bool:
    """Whether a key can be the key of a definition."""
    kind, _, name = key.partition(":")
    return kind in KEY_KINDS and bool(name) and _key_bytes(key) <= KEY_BYTES


def _key_bytes(key: str) -> int:
    return len(key) if key.isascii() else len(key.encode(errors="replace"))


def report_fault(report: Report) -> str | None:
    """The fault of a report, or None. Reports are checked because their figures are added up and
    written again.
    """
    if not 0 <= report.partition < HUGE:
        return f"partition {report.partition}"
    for item in report.items:
        if not is_source(item.source) or _key_bytes(item.source) > KEY_BYTES:
            return f"{item.source[:80]!r} is no source"
        # control characters are part of an id like any others: events make such sources
        if not _is_text(item.source):
            return f"{item.source[:80]!r} is no text"
        numbers = item.numbers()
        if min(numbers) < 0 or max(numbers) >= HUGE:
            return f"a number of {item.source} is negative, or larger than any"
        texts = (item.code, item.place, item.segment, item.detail)
        if not all(_is_word(text, TROUBLE_TEXT) for text in texts):
            return f"a text about {item.source} is too long or holds control characters"
        if item.checksum and not _CHECKSUM.fullmatch(item.checksum):
            return f"{item.checksum[:80]!r} is no checksum"
    for erasure in report.erasures:
        numbers = (erasure.rows, erasure.archived, erasure.left, erasure.merges)
        if not is_request_id(erasure.request_id) and _PLACE.search(erasure.request_id) is None:
            return f"{erasure.request_id[:80]!r} is no request"
        if min(numbers) < 0 or max(numbers) >= HUGE:
            return f"a number of {erasure.request_id} is negative, or larger than any"
        if len(erasure.held) > HELD_NAMED or not all(map(is_source, erasure.held)):
            return f"the held sources of {erasure.request_id}"
    return None


def clipped(text: str | None, most: int = REASON) -> str | None:
    """Free text, cut to the space that a record has for it."""
    return text if text is None or len(text) <= most else f"{text[: most - 1]}…"


def shared(text: str | None, records: int) -> str | None:
    """Free text that many records repeat, cut to one record's share of their common limit."""
    return clipped(text, max(80, min(REASON, REASONS // max(1, records))))


def is_request_id(text: str) -> bool:
    """Whether a text can be a request id: also one segment of the path of an address."""
    return is_segment(text) and _is_word(text, WORD)


def request_id_fault(text: str) -> str | None:
    """Why a text cannot be the request id that somebody chooses, or None."""
    if text in _NO_SEGMENTS:
        return NO_SEGMENT
    if not is_request_id(text):
        return f"is empty, is longer than {WORD} characters or holds control characters"
    if is_source(text):
        return "is the name of a source"
    if _PLACE.search(text) is not None:
        return "ends like control-0-57: commands without an id get such ids"
    return None


def is_segment(text: str) -> bool:
    """Whether a text can be one segment of the path of an address."""
    return bool(text) and text not in _NO_SEGMENTS


def _is_word(text: str, most: int = TEXT) -> bool:
    return _is_text(text, most) and not any(char < " " for char in text)


def _is_text(text: str, most: int = TEXT) -> bool:
    # half a surrogate pair, which JSON can spell, has no UTF-8: it could never be written
    return len(text) <= most and (text.isascii() or _SURROGATES.search(text) is None)
