"""The deployment of the upgrade test: its settings, and its worker's answers."""

import json
from pathlib import Path
from typing import Any

import aiohttp

from streams.settings import Settings, load

__all__ = [
    "EXPIRED",
    "FIXTURE",
    "PREFIX",
    "RELEASES",
    "RESTORED",
    "SHARDS",
    "SOURCES",
    "answers",
    "rows",
    "settings",
]

FIXTURE = Path(__file__).parents[2] / "fixtures" / "0.1.0-before-rooms"
"""Files of an early build, of the commit f04fdb3."""
RELEASES = Path(__file__).parents[2] / "releases"
"""The files of each release, in a folder of its version (`tests/rigs/upgrade/record.py`)."""
PREFIX = "upgrade-before-rooms."
"""Cursors name topics in full, so the fixture's prefix is part of it."""
SHARDS = 4
EXPIRED, RESTORED = "campaign:b", "canvas:d"
SOURCES = ("campaign:a", EXPIRED, "canvas:c", RESTORED)
NOW = "2026-03-31T12:00:00Z"
FILTERS: tuple[Any, ...] = (
    {"filter": "received_from_campaign", "campaign": "a"},
    {"not": {"filter": "received_from_campaign", "campaign": "a"}},
    {"filter": "in_segment", "segment": "g2"},
)
USERS = ("u0", "u1", "u2", "u3", "merged", "deleted")


def settings(broker: str, folder: Path) -> Settings:
    """Bounds so small that little data is flushed, shared and merged; nothing expires by age."""
    flags = {
        "bootstrap_servers": broker,
        "prefix": PREFIX,
        "partitions": SHARDS,
        "data_dir": folder / "data",
        "keys_file": folder / "keys.json",
        "erasure_key_file": folder / "data" / "erasure.key",
        "http_port": 0,
        "retention": "P100Y",
        "delta_rows": 40,
        "segment_rows": 30,
        "own_rows": 10,
    }
    return load(flags, env={}, file=folder / "none")


async def rows(session: aiohttp.ClientSession, address: str, source: str) -> list[str]:
    """The lines of a source's rows, sorted, or the code of the refusal."""
    async with session.get(f"{address}/sources/{source}/interactions?format=ndjson") as answer:
        text = await answer.text()
        return sorted(text.splitlines()) if answer.status == 200 else [json.loads(text)["code"]]


async def answers(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    """States, rows, figures, audiences and profiles: all that must survive an upgrade."""

    async def asked(path: str, body: Any = None) -> Any:
        method = "GET" if body is None else "POST"
        async with session.request(method, address + path, json=body) as answer:
            found = await answer.json(content_type=None)
            return found if answer.status == 200 else [answer.status, found["code"]]

    told: dict[str, Any] = {}
    for source in SOURCES:
        facts = await asked(f"/sources/{source}")
        told[f"state of {source}"] = [facts[name] for name in ("state", "version", "visible")]
        told[f"rows of {source}"] = await rows(session, address, source)
        told[f"figures of {source}"] = await asked(f"/sources/{source}/analytics")
    for number, tree in enumerate(FILTERS):
        body = {"filter": tree, "now": NOW, "on_expired": "exclude"}
        found = await asked("/audience", body)
        assert isinstance(found, dict), (tree, found)
        told[f"audience {number}"] = [found["count"], found["users"]]
    for user in USERS:
        told[f"profile of {user}"] = await asked(f"/users/{user}")
    return told
