"""Profiles and exports of users over real HTTP: two workers, an expired source among others."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.cli.profile import read
from agents.tools.operator_requests import ask, command
from agents.tools.publish import Chunk, publish
from agents.users.user_csv import COLUMNS
from schemas.errors import EmberlineError
from schemas.records import codec
from streams.kafka import topics as topic_admin
from streams.settings import Settings, load
from tests.rigs.faults.harness import until
from tests.rigs.worker import DEADLINE_S, Process, running

pytestmark = [pytest.mark.connected, pytest.mark.slow]

START = 1_772_355_600_000
"""2026-03-01T09:00:00Z"""

DEFINITIONS: list[dict[str, Any]] = [
    {"key": "campaign:a", "status": "ACTIVE", "name": "Spring sale",
     "variations": [{"id": "v1", "name": "Red"}]},
    {"key": "campaign:b", "status": "STOPPED", "name": "Autumn"},
    {"key": "campaign:d", "status": "ACTIVE", "name": "Nobody's"},
    {"key": "canvas:c", "status": "ACTIVE", "name": "Welcome",
     "variations": [{"id": "p1", "name": "Path 1"}], "steps": [{"id": "s1", "name": "Hello"}]},
    {"key": "segment:g", "status": "ACTIVE", "name": "Got a",
     "filters": json.dumps({"filter": "received_from_campaign", "campaign": "a"})},
    {"key": "segment:h", "status": "DRAFT", "name": "Got b",
     "filters": json.dumps({"filter": "received_from_campaign", "campaign": "b"})},
]  # fmt: skip

USERS: list[tuple[str, dict[str, Any] | None]] = [
    ("u1", {"external_user_id": "ext-1", "aliases": ["one"],
            "user_aliases": [{"alias_name": "eins", "alias_label": "de"}]}),
    ("u2", {"external_user_id": "ext-old"}),
    ("u2", {"external_user_id": "ext-2"}),
    ("u3", {"external_user_id": "ext-3", "merged_into": "u1"}),
    ("u4", {"external_user_id": "ext-4"}),
    ("u4", None),
    ("u6", {"external_user_id": "ext-6", "merged_into": "u7"}),
    ("u7", {"external_user_id": "ext-7", "merged_into": "u6"}),
    ("u8", {"external_user_id": "same"}),
    ("u9", {"external_user_id": "same", "merged_into": ""}),
    ("u9", {"external_user_id": "same",
            "user_aliases": [{"alias_name": "one", "alias_label": "en"}]}),
    ("u9", {"external_user_id": "other", "merged_into": "u9"}),
    ("u10", {"merged_into": "none"}),
]  # fmt: skip


def _events() -> Iterable[tuple[str, dict[str, Any]]]:
    a, b, c = {"campaign_id": "a"}, {"campaign_id": "b"}, {"canvas_id": "c"}
    v1, p1 = {"message_variation_id": "v1"}, {"canvas_variation_id": "p1"}
    s1 = {"canvas_step_id": "s1"}
    yield "send", {"user_id": "u1", **a, **v1, "channel": "EMAIL"}
    yield "open", {"user_id": "u1", **a, **v1, "channel": "EMAIL"}
    yield "click", {"user_id": "u1", **a, **v1, "channel": "EMAIL", "link_alias": "buy"}
    yield "conversion", {"user_id": "u1", **a, "conversion_behavior_index": 1}
    yield "send", {"user_id": "u1", **b, "channel": "PUSH"}
    yield "variant", {"user_id": "u1", **c, **p1}
    yield "send", {"user_id": "u1", **c, **p1, **s1, "channel": "EMAIL"}
    yield "variant", {"user_id": "u1", **c, **p1, "exited": True}
    yield "variant", {"user_id": "u2", **a, **v1, "in_control_group": True}
    yield "send", {"user_id": "u3", **a, "channel": "EMAIL"}
    yield "send", {"user_id": "u4", **a, "channel": "EMAIL"}
    yield "send", {"user_id": "u5", **a, "channel": "PUSH", "external_user_id": "by-event"}
    for kind, value, cleared in (
        ("HARD_BOUNCE", None, False),
        ("FEATURE_FLAG", "f1", False),
        ("FEATURE_FLAG", "f2", False),
        ("FEATURE_FLAG", "f2", True),
        ("INBOUND_KEYWORD", "STOP", False),
        *[("FEED_VIEW", None, False)] * 3,
    ):
        yield "signal", {
            "user_id": "u1", "signal_type": kind, "value": value, "cleared": cleared
        }  # fmt: skip
    yield "send", {"user_id": "u10", **a, "channel": "EMAIL"}


def at(minute: int) -> str:
    return f"2026-03-01T09:{minute:02d}:00.000Z"


def span(minute: int) -> dict[str, str]:
    return {"first": at(minute), "last": at(minute)}


async def _publish(settings: Settings) -> None:
    keys = [each["key"].encode() for each in DEFINITIONS]
    told = [codec.encode("definition", {**each, "updated_at": START}) for each in DEFINITIONS]
    await publish(settings, [Chunk("catalog", keys, told)])
    users = [
        None if record is None else codec.encode("user", {"user_id": user, **record})
        for user, record in USERS
    ]
    await publish(settings, [Chunk("users", [user.encode() for user, _ in USERS], users)])
    topics: dict[str, tuple[list[bytes | None], list[bytes | None]]] = {}
    for minute, (kind, event) in enumerate(_events()):
        owners, values = topics.setdefault(f"interactions.{kind}", ([], []))
        owners.append(event["user_id"].encode())
        record = {"id": f"e{minute}", "time": START + 60_000 * minute, **event}
        values.append(codec.encode(kind, record))
    await publish(settings, [Chunk(topic, *parts) for topic, parts in topics.items()])


class Sites:
    """Two workers, and what is asked of either."""

    def __init__(
        self, settings: Settings, workers: list[Process], session: aiohttp.ClientSession
    ) -> None:
        self.settings = settings
        self.workers = workers
        self.session = session

    async def get(self, path: str, worker: int = 0) -> tuple[int, Any]:
        return await self._asked("GET", path, worker)

    async def post(self, path: str, body: Any, worker: int = 0) -> tuple[int, Any]:
        return await self._asked("POST", path, worker, json=body)

    async def _asked(self, method: str, path: str, worker: int, **more: Any) -> tuple[int, Any]:
        url = f"{self.workers[worker].facts['address']}{path}"
        async with self.session.request(method, url, **more) as answer:
            text = await answer.text()
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0
            whole = answer.content_type in ("application/json", "application/problem+json")
            return answer.status, json.loads(text) if whole else text

    async def both(self, path: str) -> tuple[int, Any]:
        first, second = [await self.get(path, worker) for worker in range(2)]
        assert first == second
        return first

    async def both_post(self, path: str, body: Any) -> tuple[int, Any]:
        first, second = [await self.post(path, body, worker) for worker in range(2)]
        assert first == second
        return first

    async def settled(self) -> None:
        await until(self._folded, DEADLINE_S, "all is folded")

    async def _folded(self) -> bool:
        held = set()
        for worker in self.workers:
            found: Mapping[str, Any] = await worker.status(self.session)
            if not found["ready"] or any(shard["cursor_lag"] for shard in found["shards"]):
                return False
            if sum(found["sources"].values()) != 4:
                return False
            held |= {shard["partition"] for shard in found["shards"]}
            if len(found["shards"]) != 2:
                return False
        status, _ = await self.get("/users/u5")
        return len(held) == 4 and status == 200


@pytest.fixture
async def sites(broker: str, prefix: str, tmp_path: Path) -> AsyncIterator[Sites]:
    flags = {"bootstrap_servers": broker, "prefix": prefix, "partitions": 4, "http_port": 0}
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    settings = load({**flags, "data_dir": folders[0] / "data"}, env={}, file=tmp_path / "none")
    await topic_admin.create(settings)
    await _publish(settings)
    async with AsyncExitStack() as stack:
        workers = []
        for folder in folders:
            own = replace(settings, data_dir=folder / "data")
            workers.append(await stack.enter_async_context(running(own)))
        for worker in workers:
            await worker.ready()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        found = Sites(settings, workers, session)
        await found.settled()
        yield found


A: dict[str, Any] = {
    "source": "campaign:a",
    "name": "Spring sale",
    "state": "ACTIVE",
    # the second message came to u3, who is u1
    "received": {"first": at(0), "last": at(9)},
    "channels": ["EMAIL"],
    "variations": [{"id": "v1", "name": "Red", "first": at(0), "last": at(2)}],
    "opened": span(1),
    "machine_opened": None,
    "clicked": span(2),
    "bot_clicked": None,
    "aliases_clicked": [{"alias": "buy", **span(2)}],
    "converted": False,
    "conversions": [{"index": 1, **span(3)}],
    "entered": None,
    "in_control": False,
    "exited": None,
}
B: dict[str, Any] = {
    **A,
    "source": "campaign:b",
    "name": "Autumn",
    "state": "STOPPED",
    "received": span(4),
    "channels": ["PUSH"],
    "variations": [],
    "opened": None,
    "clicked": None,
    "aliases_clicked": [],
    "conversions": [],
}
C: dict[str, Any] = {
    **B,
    "source": "canvas:c",
    "name": "Welcome",
    "state": "ACTIVE",
    "received": span(6),
    "channels": ["EMAIL"],
    "variations": [{"id": "p1", "name": "Path 1", "first": at(5), "last": at(7)}],
    "entered": span(5),
    "exited": span(7),
    "steps": [{"id": "s1", "name": "Hello", **span(6)}],
}
PROFILE: dict[str, Any] = {
    "user_id": "u1",
    "external_user_id": "ext-1",
    "aliases": ["one"],
    "user_aliases": [{"alias_name": "eins", "alias_label": "de"}],
    "merged_users": ["u3"],
    "in_roster": True,
    "campaigns_received": [A, B],
    "canvas_messages_received": [C],
    "through_archive": None,
    "signals": {
        "hard_bounced": at(12),
        "marked_spam": None,
        "invalid_phone": None,
        "inbound_keywords": [{"category": "STOP", "last": at(16)}],
        "feature_flags": [{"id": "f1", "last": at(13)}],
    },
    "feed_views": {"count": 3, "last": at(19)},
    "excluded_expired": {
        "entries": 0,
        "sources": [],
        "unchecked": {"count": 0, "sources": []},
        "archived": [],
    },
}
BRAZE_A = {
    "name": "Spring sale",
    "last_received": at(9),
    "engaged": {
        "opened_email": True,
        "opened_push": False,
        "clicked_email": True,
        "clicked_triggered_in_app_message": False,
    },
    "converted": False,
    "api_campaign_id": "a",
    "variation_name": "Red",
    "variation_api_id": "v1",
    "in_control": False,
}
NOT_ENGAGED = {
    "opened_email": False,
    "opened_push": False,
    "clicked_email": False,
    "clicked_triggered_in_app_message": False,
}
BRAZE_B = {
    "name": "Autumn",
    "last_received": at(4),
    "engaged": NOT_ENGAGED,
    "converted": False,
    "api_campaign_id": "b",
}
BRAZE_C = {
    "name": "Welcome",
    "api_canvas_id": "c",
    "last_received_message": at(6),
    "last_entered": at(5),
    "variation_name": "Path 1",
    "in_control": False,
    "last_exited": at(7),
    "steps_received": [{"name": "Hello", "api_canvas_step_id": "s1", "last_received": at(6)}],
}
BRAZE_1 = {
    "external_id": "ext-1",
    "user_aliases": [
        {"alias_name": "one", "alias_label": ""},
        {"alias_name": "eins", "alias_label": "de"},
    ],
    "braze_id": "u1",
    "campaigns_received": [BRAZE_A, BRAZE_B],
    "canvases_received": [BRAZE_C],
}
BRAZE_2 = {
    "external_id": "ext-2",
    "braze_id": "u2",
    "campaigns_received": [
        {
            "name": "Spring sale",
            "engaged": NOT_ENGAGED,
            "converted": False,
            "api_campaign_id": "a",
            "variation_name": "Red",
            "variation_api_id": "v1",
            "in_control": True,
        }
    ],
}
BRAZE_5 = {
    "external_id": "by-event",
    "braze_id": "u5",
    "campaigns_received": [
        {
            "name": "Spring sale",
            "last_received": at(11),
            "engaged": NOT_ENGAGED,
            "converted": False,
            "api_campaign_id": "a",
        }
    ],
}
NOTHING = {"entries": 0, "sources": [], "users": {}, "unchecked": {"count": 0, "sources": []}}


async def test_either_worker_answers_about_users_and_counts_expired_data(sites: Sites) -> None:
    await _profiles(sites)
    await _command(sites)
    await _exports(sites)
    await _segment(sites)
    await _csv(sites)
    await _rows(sites)
    await _audiences(sites, MERGED)
    request = command("expire", ("campaign:b",), reason="test")
    answer = await ask(sites.settings, request, wait=True, silence_s=DEADLINE_S)
    assert not answer.bad, answer
    await _hidden(sites)
    await _taken_back(sites)


GOT: dict[str, Any] = {"filter": "received_from_campaign", "campaign": "a"}
CLICKED = {"filter": "clicked_opened_campaign", "campaign": "a", "action": "clicked"}
LATE = GOT | {"after": at(9)}
CONVERTED = {"filter": "converted_from_campaign", "campaign": "a", "index": "any"}
FILTERS: list[dict[str, Any]] = [
    GOT,
    {"not": GOT},
    {"and": [LATE, CLICKED]},
    {"and": [GOT, {"not": CLICKED}]},
    CONVERTED,
    {"filter": "feed_view_count", "comparator": "=", "n": 0},
]
MERGED: list[list[str]] = [
    ["u1", "u5"], ["u2", "u8", "u9"], ["u1"], ["u5"], [], ["u2", "u5", "u8", "u9"]
]  # fmt: skip
APART: list[list[str]] = [
    ["u1", "u3", "u5"], ["u2", "u8", "u9"], [], ["u3", "u5"], ["u1"], ["u2", "u3", "u5", "u8", "u9"]
]  # fmt: skip


async def _audiences(sites: Sites, expected: list[list[str]]) -> None:
    """u1 and u3 lie in different shards, and each shard is with another worker."""
    for worker in range(2):
        for asked, users in zip(FILTERS, expected, strict=True):
            status, page = await sites.post("/audience", {"filter": asked}, worker)
            assert (status, page["users"], page["count"]) == (200, users, len(users)), asked
            given = {"filter": asked, "limit": 2}
            status, page = await sites.post("/audience", given, worker)
            assert (page["users"], page["count"]) == (users[:2], len(users))
            _, text = await sites.post("/audience?format=ndjson", {"filter": asked}, worker)
            *lines, last = map(json.loads, text.splitlines())
            assert sorted(line["user"] for line in lines) == users
            assert last == {"complete": True, "count": len(users)}
            _, text = await sites.post("/audience?format=csv", {"filter": asked}, worker)
            rows = csv.DictReader(io.StringIO(text))
            assert [row["user_id"] for row in rows] == users, "in order"


async def _taken_back(sites: Sites) -> None:
    """The record of u3 without the merge: both are apart again, with their own rows."""
    record = codec.encode("user", {"user_id": "u3", "external_user_id": "ext-3"})
    await publish(sites.settings, [Chunk("users", [b"u3"], [record])])

    async def apart() -> bool:
        found = [await sites.get("/users/u3", worker) for worker in range(2)]
        return all(profile["user_id"] == "u3" for _, profile in found)

    await until(apart, DEADLINE_S, "both workers know that the merge is taken back")
    await _audiences(sites, APART)
    _, found = await sites.both("/users/u1")
    assert (found["merged_users"], found["campaigns_received"][0]["received"]) == ([], span(0))
    _, found = await sites.both("/users/u3")
    assert (found["merged_from"], found["campaigns_received"][0]["received"]) == (None, span(9))
    _, text = await sites.get("/sources/campaign:a/users.csv")
    found = {row["Appboy ID"] for row in csv.DictReader(io.StringIO(text))}
    assert found == {"u1", "u2", "u3", "u5"}
    _, size = await sites.both("/sources/campaign:a/export_size")
    assert size["users"]["rows"] == 4


async def _profiles(sites: Sites) -> None:
    for name in ("u1", "u1?by=user", "ext-1", "ext-1?by=external", "one", "eins?label=de", "u3",
                 "one?by=alias&label=", "eins?by=alias&label=de", "ext-3"):  # fmt: skip
        merged = "u3" if name in ("u3", "ext-3") else None
        expected = PROFILE | {"merged_from": merged}
        assert await sites.both(f"/users/{name}") == (200, expected), name
    status, found = await sites.both("/users/u5")
    assert (status, found["in_roster"], found["external_user_id"]) == (200, False, "by-event")
    assert await sites.both("/users/by-event") == (200, found)
    assert [each["channels"] for each in found["campaigns_received"]] == [["PUSH"]]
    status, found = await sites.both("/users/u2")
    assert found["campaigns_received"][0]["in_control"] is True
    nobody = ("nobody", "u4", "ext-4", "u6", "ext-7", "ext-old", "ext-1?by=user", "u1?by=alias",
              "one?by=external", "eins", "eins?by=alias", "one?label=de")  # fmt: skip
    for name in nobody:
        status, found = await sites.both(f"/users/{name}")
        assert (status, found["code"]) == (404, "unknown_user"), name
    for name, gone, into, why in (
        ("u4", "deleted", None, "it was deleted"),
        ("u6", "merge_cycle", None, "circle"),
        ("u10", "merged_into_nobody", "none", "'none', which nobody"),
    ):
        status, found = await sites.both(f"/users/{name}")
        assert (status, found["gone"], found["into"]) == (404, gone, into), found
        assert why in found["detail"]
    status, found = await sites.both("/users/same")
    assert (status, found["code"], found["users"]) == (409, "ambiguous_user", ["u8", "u9"])
    for name in ("u1?by=email", "one?by=user&label=en", "u1?through_archive=yes"):
        status, found = await sites.both(f"/users/{name}")
        assert (status, found["code"]) == (400, "bad_request"), name
    status, found = await sites.both("/users/one?label=en")
    assert (status, found["user_id"]) == (200, "u9")


async def _command(sites: Sites) -> None:
    """`emberline profile`, from a process of its own as people have it."""
    address = str(sites.workers[1].facts["address"])
    port = int(address.rpartition(":")[2])
    settings = replace(sites.settings, http_port=port)
    assert await read(settings, "ext-3", "external") == PROFILE | {"merged_from": "u3"}
    with pytest.raises(EmberlineError, match="no user with the alias 'ext-3'"):
        await read(settings, "ext-3", "alias")
    done = await asyncio.to_thread(
        CliRunner().invoke, main, ["--http-port", str(port), "profile", "eins", "--label", "de"]
    )
    assert done.exit_code == 0, done.output
    for words in (
        "external id ext-1",
        "With the data of merged ids: u3",
        "alias one, alias eins (de)",
        "Campaigns Received: 2",
        "Spring sale",
        "flag f1",
    ):
        assert words in done.output


async def _exports(sites: Sites) -> None:
    body = {
        "external_ids": ["ext-2", "ext-3", "who", "ext-4", "by-event"],
        "user_aliases": [
            {"alias_name": "eins", "alias_label": "de"},
            {"alias_name": "eins", "alias_label": "en"},
            {"alias_name": "one", "alias_label": "any"},
        ],
        "braze_id": "u1",
    }
    expected = {
        "message": "success",
        "users": [BRAZE_2, BRAZE_1, BRAZE_5],
        "invalid_user_ids": ["who", "ext-4", "eins", "one"],
        "unknown_fields": [],
        "excluded_expired": NOTHING,
    }
    assert await sites.both_post("/users/export/ids", body) == (200, expected)
    fields = {"fields_to_export": ["braze_id", "email", "canvases_received"]}
    status, found = await sites.both_post("/users/export/ids", {"braze_id": "u1", **fields})
    assert found["users"] == [{"braze_id": "u1", "canvases_received": [BRAZE_C]}]
    fields = {"fields_to_export": ["shoe_size", "braze_id", "hat"]}
    status, found = await sites.both_post("/users/export/ids", {"braze_id": "u1", **fields})
    assert (found["users"], found["unknown_fields"]) == ([{"braze_id": "u1"}], ["shoe_size", "hat"])
    status, found = await sites.both_post("/users/export/ids", {"external_ids": ["same"]})
    assert [user["braze_id"] for user in found["users"]] == ["u8", "u9"]
    many = [f"x{number}" for number in range(50)]
    each_kind = {
        "external_ids": many,
        "user_aliases": [{"alias_name": name, "alias_label": "crm"} for name in many],
        "braze_id": ["u1", *many[1:]],
    }
    status, found = await sites.post("/users/export/ids", each_kind)
    assert (status, len(found["invalid_user_ids"])) == (200, 149), "50 of each kind"
    assert [user["braze_id"] for user in found["users"]] == ["u1"]
    for bad in (
        {},
        {"external_ids": [*many, "x50"]},
        {"external_ids": ["ext-1"] * 51},
        {"user_aliases": [{"alias_name": name} for name in [*many, "x50"]]},
        {"braze_id": [*many, "x50"]},
        {"external_ids": "ext-1"},
        {"user_aliases": [{"alias_label": "x"}]},
        {"email_address": "a@b"},
        {"external_ids": ["ext-1"], "fields_to_export": [""]},
        {"external_ids": ["ext-1"], "more": 1},
    ):
        status, found = await sites.post("/users/export/ids", bad)
        assert (status, found["code"]) == (400, "bad_request"), bad


def _braze_id(user: dict[str, Any]) -> str:
    return str(user["braze_id"])


async def _segment(sites: Sites) -> None:
    for worker in range(2):
        status, text = await sites.post("/users/export/segment", {"segment_id": "g"}, worker)
        assert status == 200
        *users, last = map(json.loads, text.splitlines())
        excluded = {key: value for key, value in NOTHING.items() if key != "users"}
        completion = {"complete": True, "count": 2, "unknown_fields": []}
        assert last == {**completion, "excluded_expired": excluded}
        assert sorted(users, key=_braze_id) == [BRAZE_1, BRAZE_5]
    platforms = {"segment_id": "g", "callback_endpoint": "", "output_format": "zip"}
    status, told = await sites.post("/users/export/segment", platforms)
    assert (status, told["message"]) == (200, "success")
    for worker in range(2):
        url = told["url"].replace(*(sites.workers[n].facts["address"] for n in (0, worker)))
        async with sites.session.get(url) as answer:
            assert (answer.status, answer.content_type) == (200, "application/zip")
            archive = zipfile.ZipFile(io.BytesIO(await answer.read()))
        (name,) = archive.namelist()
        assert name.startswith(told["object_prefix"])
        # an export has no order: whichever shard answers first comes first
        found = [json.loads(line) for line in archive.read(name).splitlines()]
        assert sorted(found, key=_braze_id) == [BRAZE_1, BRAZE_5]
    for body, code in (
        ({"segment_id": "nowhere"}, "unknown_segment"),
        ({"fields_to_export": []}, "bad_request"),
    ):
        status, found = await sites.post("/users/export/segment", body)
        assert (status, found["code"]) == (400, code)


async def _csv(sites: Sites) -> None:
    for worker in range(2):
        status, text = await sites.get("/sources/campaign:a/users.csv", worker)
        assert status == 200
        assert text.splitlines()[0] == ",".join(COLUMNS)
        rows = {row["Appboy ID"]: row for row in csv.DictReader(io.StringIO(text))}
        assert {user: _filled(row) for user, row in rows.items()} == CSV_A
        status, text = await sites.get("/sources/canvas:c/users.csv", worker)
        assert [_filled(row) for row in csv.DictReader(io.StringIO(text))] == [CSV_C]
    status, text = await sites.get("/sources/campaign:d/users.csv")
    assert (status, text) == (200, ",".join(COLUMNS) + "\n")
    status, found = await sites.get("/sources/campaign:x/users.csv")
    assert (status, found["code"]) == (404, "unknown_source")


async def _rows(sites: Sites) -> None:
    """A deleted user has no rows; who became another one keeps theirs under the old id."""
    for worker in range(2):
        _, text = await sites.get("/sources/campaign:a/interactions", worker)
        *rows, last = map(json.loads, text.splitlines())
        assert {row["user"] for row in rows} == {"u1", "u2", "u3", "u5", "u10"}
        assert last == {"complete": True, "count": len(rows)}


def _filled(row: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value}


CSV_A = {
    "u1": {
        "Appboy ID": "u1",
        "user_id": "ext-1",
        "user_aliases": '[{"alias_name": "one", "alias_label": ""}, '
        '{"alias_name": "eins", "alias_label": "de"}]',
        "variation_name": "Red",
        "variation_api_id": "v1",
        "in_control": "false",
        "emberline_source": "campaign:a",
        "emberline_first_received": at(0),
        "emberline_last_received": at(9),
        "emberline_channels": "EMAIL",
        "emberline_last_opened": at(1),
        "emberline_last_clicked": at(2),
        "emberline_converted": "false",
        "emberline_last_converted": at(3),
    },
    "u2": {
        "Appboy ID": "u2",
        "user_id": "ext-2",
        "variation_name": "Red",
        "variation_api_id": "v1",
        "in_control": "true",
        "emberline_source": "campaign:a",
        "emberline_converted": "false",
        "emberline_last_entered": at(8),
    },
    "u5": {
        "Appboy ID": "u5",
        "user_id": "by-event",
        "in_control": "false",
        "emberline_source": "campaign:a",
        "emberline_first_received": at(11),
        "emberline_last_received": at(11),
        "emberline_channels": "PUSH",
        "emberline_converted": "false",
    },
}
CSV_C = {
    "Appboy ID": "u1",
    "user_id": "ext-1",
    "user_aliases": CSV_A["u1"]["user_aliases"],
    "variation_name": "Path 1",
    "variation_api_id": "p1",
    "in_control": "false",
    "emberline_source": "canvas:c",
    "emberline_first_received": at(6),
    "emberline_last_received": at(6),
    "emberline_channels": "EMAIL",
    "emberline_steps_received": "s1",
    "emberline_converted": "false",
    "emberline_last_entered": at(5),
    "emberline_last_exited": at(7),
}


async def _through_archive(sites: Sites) -> None:
    """The entry of campaign b is as it was, and b stays expired."""
    status, found = await sites.both("/users/u1?through_archive=true")
    assert (status, found["campaigns_received"]) == (200, [A])
    archived = found["through_archive"]
    read_there = archived.pop("read")
    assert archived == {
        "campaigns_received": [B | {"state": "EXPIRED"}],
        "canvas_messages_received": [],
        "damaged": [],
    }
    assert read_there["sources"] == 1
    assert read_there["segments"] >= 1
    assert read_there["bytes"] > 0
    port = str(sites.workers[0].facts["address"]).rpartition(":")[2]
    args = ["--http-port", port, "profile", "u1", "--through-archive"]
    done = await asyncio.to_thread(CliRunner().invoke, main, args)
    assert done.exit_code == 0, done.output
    assert "Campaigns Received of expired sources: 1\n" in done.output
    assert "Read in the archive: 1 source, " in done.output
    _, source = await sites.both("/sources/campaign:b")
    assert source["state"] == "EXPIRED"


async def _hidden(sites: Sites) -> None:
    """Campaign b is archived: its entry is gone, and said to be."""

    async def expired() -> bool:
        states = [await sites.get("/sources/campaign:b", worker) for worker in range(2)]
        return all(found["state"] == "EXPIRED" for _, found in states)

    await until(expired, DEADLINE_S, "both workers know that b has expired")
    status, found = await sites.both("/users/u1")
    excluded = found.pop("excluded_expired")
    assert found["campaigns_received"] == [A]
    assert found["signals"] == PROFILE["signals"]
    assert excluded["entries"] + excluded["unchecked"]["count"] == 1
    named = [each["source"] for each in excluded["sources"]] + excluded["unchecked"]["sources"]
    assert named == ["campaign:b"]
    archived = [each["source"] for each in excluded["archived"]]
    assert archived == excluded["unchecked"]["sources"]
    await _through_archive(sites)
    status, found = await sites.both_post("/users/export/ids", {"external_ids": ["ext-1"]})
    assert found["users"] == [{**BRAZE_1, "campaigns_received": [BRAZE_A]}]
    excluded = found["excluded_expired"]
    assert excluded["entries"] + excluded["unchecked"]["count"] == 1
    status, found = await sites.both("/sources/campaign:b/users.csv")
    assert (status, found["code"]) == (409, "source_hidden")
    status, found = await sites.post("/users/export/segment", {"segment_id": "h"})
    assert (status, found["code"], found["sources"]) == (409, "source_hidden", ["campaign:b"])


async def test_a_worker_that_is_gone_leaves_no_answer_of_half_its_users(sites: Sites) -> None:
    sites.workers[1].kill()
    await sites.workers[1].ended()
    codes = set()
    for user in ("u1", "u2", "u5", "u8", "u9"):
        status, found = await sites.get(f"/users/{user}")
        codes.add(status if status != 503 else found["code"])
    assert codes <= {200, "shards_unavailable"}
    status, found = await sites.post("/users/export/ids", {"external_ids": ["ext-1", "who"]})
    assert (status, found.get("code")) in ((200, None), (503, "shards_unavailable"))
