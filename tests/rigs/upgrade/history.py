"""What producers send before a release's files are recorded: the same every time."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["GARBAGE", "misplaced", "write"]

_EVENTS = 600
_BEGIN = 1_772_323_200_000
"""2026-03-01."""
_SPAN_MS = 28 * 86_400_000
_USERS = (*(f"u{number}" for number in range(18)), "merged", "deleted", "u-erased")
_SOURCES = ("campaign:a", "campaign:b", "canvas:c", "canvas:d", None)
_CHANNELS = ("EMAIL", "PUSH", "SMS", "WEBHOOK")
_SIGNALS = ("HARD_BOUNCE", "SPAM_REPORT", "FEATURE_FLAG", "FEED_VIEW")
GARBAGE = b"\x00\x00\x00\x00\x01garbage"
"""Goes to `rejected`."""


def write(folder: Path) -> list[tuple[str, Path]]:
    """Write JSON lines; (type, file) in the order in which they are imported."""
    lines: dict[str, list[dict[str, Any]]] = {"definition": _definitions(), "user": _users()}
    for kind, record in _events():
        lines.setdefault(kind, []).append(record)
    files = []
    for kind, records in lines.items():
        file = folder / f"{kind}.jsonl"
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        files.append((kind, file))
    return files


def misplaced() -> list[tuple[int, bytes, bytes]]:
    """Sends that lie in the same partition whatever their user: (partition, key, value)."""
    found = []
    for number in range(8):
        user = f"u{number}"
        record = {"id": f"m{number}", "user_id": user, "time": _BEGIN, "campaign_id": "a",
                  "channel": "RCS", "external_user_id": f"x{number}"}  # fmt: skip
        found.append((0, user.encode(), json.dumps(record).encode()))
    return found


def _definitions() -> list[dict[str, Any]]:
    steps = [{"id": "s1", "name": "First"}, {"id": "s2", "name": "Second"}]
    variations = [{"id": "v1", "name": "One"}, {"id": "v2", "name": "Two"}]
    sources: list[dict[str, Any]] = [
        {"key": "campaign:a", "status": "ACTIVE", "tags": ["t1", "t2"]},
        {"key": "campaign:b", "status": "STOPPED", "tags": ["t2"]},
        {"key": "canvas:c", "status": "ACTIVE", "tags": ["t1"], "steps": steps},
        {"key": "canvas:d", "status": "STOPPED", "tags": ["t2"], "steps": steps},
    ]
    segments: dict[str, Any] = {
        "g1": {"and": [{"filter": "received_from_campaign", "campaign": "a"},
                       {"not": {"filter": "received_from_campaign", "campaign": "b"}}]},
        "g2": {"or": [{"filter": "last_engaged", "after": "P30D"},
                      {"filter": "in_segment", "segment": "g1", "has": False}]},
    }  # fmt: skip
    return [
        *({"name": one["key"], "variations": variations, **one} for one in sources),
        # drafts keep nothing hot
        *(
            {"key": f"segment:{name}", "status": "DRAFT", "filters": json.dumps(tree)}
            for name, tree in segments.items()
        ),
        {"key": "content_card:card", "status": "ACTIVE", "references": ["canvas:c"]},
    ]


def _users() -> list[dict[str, Any]]:
    alive: list[dict[str, Any]] = [
        {"user_id": user, "external_user_id": f"x-{user}"} for user in _USERS[:-3]
    ]
    alive[1]["user_aliases"] = [{"alias_name": "one", "alias_label": "shop"}]
    return [
        *alive,
        {"user_id": "merged", "merged_into": "u0"},
        {"user_id": "deleted"},
        {"user_id": "u-erased"},
    ]


def _events() -> Iterator[tuple[str, dict[str, Any]]]:
    random = Random(15)
    for number in range(_EVENTS):
        source = random.choice(_SOURCES)
        record: dict[str, Any] = {
            "id": f"e{number}",
            "user_id": random.choice(_USERS),
            "time": _BEGIN + random.randrange(_SPAN_MS),
        }
        kind = random.choice(("send", "send", "open", "click", "variant", "conversion", "signal"))
        if kind == "signal":
            value = random.choice(("one", "two"))
            yield kind, {**record, "signal_type": random.choice(_SIGNALS), "value": value}
            continue
        if source is not None:
            room, _, name = source.partition(":")
            part = "message_variation_id" if room == "campaign" else "canvas_variation_id"
            record |= {f"{room}_id": name, part: random.choice(("v1", "v2"))}
            if room == "canvas":
                record["canvas_step_id"] = random.choice(("s1", "s2"))
        if kind in ("send", "open", "click"):
            record["channel"] = random.choice(_CHANNELS)
        extra: dict[str, dict[str, Any]] = {
            "open": {"machine_open": number % 5 == 0},
            "click": {"link_alias": random.choice(("home", "buy")),
                      "is_suspected_bot_click": number % 7 == 0},
            "variant": {"in_control_group": number % 6 == 0, "exited": number % 8 == 0},
            "conversion": {"conversion_behavior_index": number % 4},
        }  # fmt: skip
        yield kind, record | extra.get(kind, {})
