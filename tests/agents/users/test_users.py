"""Profiles and exports of users over real HTTP: two workers, an expired source among others."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.cli.profile import read
from agents.tools.operator_requests import ask, command
from agents.tools.publish import Chunk, publish
from agents.users.user_csv import COLUMNS
from schemas.errors import EmberlineError
from schemas.records import codec
from tests.rigs.faults.harness import until
from tests.rigs.users.answers import (
    BRAZE_1,
    BRAZE_2,
    BRAZE_5,
    BRAZE_A,
    BRAZE_C,
    CSV_A,
    CSV_C,
    NOTHING,
    PROFILE,
    A,
    B,
    at,
    span,
)
from tests.rigs.users.sites import Sites, sites
from tests.rigs.worker import DEADLINE_S

__all__ = ["sites"]

pytestmark = [pytest.mark.connected, pytest.mark.slow]


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
