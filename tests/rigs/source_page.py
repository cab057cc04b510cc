"""Sources of every kind for the page of one source: events, definitions, and what uses them."""

import json
from collections.abc import Iterator
from typing import Any

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.settings import Settings
from tests.rigs.faults.harness import define

__all__ = [
    "CANVAS",
    "HOSTILE",
    "NAMES",
    "SPRING",
    "TEASER",
    "UNREADABLE",
    "fill",
    "tag_spring",
]

BEGUN_AT = 1_775_001_600_000  # 2026-04-01
DAY = 86_400_000
SPRING, TEASER, CANVAS = "campaign:spring", "campaign:teaser", "canvas:journey"
HOSTILE, UNREADABLE = "campaign:hostile", "canvas:garbled"
_RLO, _PDF = "\u202e", "\u202c"
NAMES = {
    SPRING: "Spring sale",
    TEASER: "Teaser",
    CANVAS: "Welcome journey",
    HOSTILE: f"<img src=x onerror=alert(1)> {_RLO}evil{_PDF} " + "long " * 2_000,
    UNREADABLE: "Garbled",
    "canvas:winback": "Winback",
    "canvas:vip": "VIP club",
    "segment:buyers": "Spring buyers",
    "campaign:old": "Old newsletter",
    "campaign:empty": "Never sent",
}
_VARIATIONS = [{"id": "v-a", "name": "Subject A"}, {"id": "v-b", "name": "Subject B"}]
_STEPS = [{"id": "s-1", "name": "Hello"}, {"id": "s-2", "name": "A week later"}]
_USES = {"filter": "received_from_campaign", "campaign": "teaser", "has": True}


async def fill(settings: Settings, users: int = 60) -> None:
    """Events of a month, and every definition; SPRING is still active."""
    for topic, events in _events(users).items():
        keys: list[bytes | None] = [event["user_id"].encode() for event in events]
        schema = topic.removeprefix("interactions.")
        values = [codec.encode(schema, event) for event in events]
        await publish(settings, [Chunk(topic, keys, values)])
    in_segment = json.dumps({"and": [{"filter": "in_segment", "segment": "buyers"}]})
    for key, status, more in (
        (SPRING, "ACTIVE", {"variations": _VARIATIONS, "tags": ["spring-2026", "sale"]}),
        (TEASER, "STOPPED", {}),
        ("segment:buyers", "STOPPED", {"filters": json.dumps(_USES)}),
        ("canvas:winback", "ACTIVE", {"filters": in_segment}),
        ("canvas:vip", "ACTIVE", {"filters": json.dumps({"or": [_USES]})}),
        (CANVAS, "ACTIVE", {"steps": _STEPS, "variations": _VARIATIONS, "filters": in_segment}),
        (HOSTILE, "ACTIVE", {"tags": ["<b>bold</b>", f"{_RLO}gat"], "filters": json.dumps(_USES)}),
        (UNREADABLE, "ACTIVE", {"filters": '{"filter": "received_from_campaing"}'}),
        ("campaign:old", "STOPPED", {"legacy_deleted": True}),
        ("campaign:empty", "STOPPED", {}),
    ):
        await define(settings, key, status, BEGUN_AT, name=NAMES[key], **more)


async def tag_spring(settings: Settings, status: str, *tags: str) -> None:
    """SPRING's definition again. With the tag `long` it stays for three months."""
    more: dict[str, Any] = {"variations": _VARIATIONS, "tags": ["spring-2026", "sale", *tags]}
    at = BEGUN_AT + (DAY if tags else 0) + 1_000
    await define(settings, SPRING, status, at, name=NAMES[SPRING], **more)


def _events(users: int) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for topic, event in _all(users):
        event["id"] = f"{topic}-{len(found.setdefault(topic, []))}"
        found[topic].append(event)
    return found


def _all(users: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for n in range(users):
        user, at = f"user-{n}", BEGUN_AT + n * n % 30 * DAY + n * 60_000
        channel = "PUSH" if n % 4 == 0 else "EMAIL"
        spring = {
            "user_id": user,
            "time": at,
            "campaign_id": "spring",
            "message_variation_id": "v-a" if n % 3 else "v-b",
        }
        sent = {**spring, "channel": channel}
        yield "interactions.send", sent
        if n % 2:
            opened = {**sent, "time": at + DAY}
            yield "interactions.open", {**opened, "machine_open": n % 5 == 0}
        if n % 6 == 1:
            yield "interactions.click", {**sent, "time": at + 2 * DAY, "link_alias": "buy"}
        if n % 10 == 1:
            later = {**spring, "time": at + 3 * DAY}
            yield "interactions.conversion", {**later, "conversion_behavior_index": 0}
        step = {"user_id": user, "time": at, "canvas_id": "journey", "canvas_variation_id": "v-a"}
        for name in ("s-1", "s-2")[: 1 + n % 2]:
            yield "interactions.send", {**step, "canvas_step_id": name, "channel": channel}
        yield "interactions.send", {**sent, "campaign_id": "teaser"}
    one = {"user_id": "user-1", "time": BEGUN_AT, "channel": "EMAIL"}
    for campaign in ("hostile", "unheard", "old"):
        yield "interactions.send", {**one, "campaign_id": campaign}
