"""POST /audience in every form: the same users in the same order, with the columns one picks."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest
from click.testing import CliRunner, Result
from polars.testing import assert_frame_equal

from agents.cli import main
from agents.web.user_columns import NOBODY, csv, frame, ndjson
from schemas.records.lifecycle import SourceState, State
from schemas.tables.roster import roster_rows
from tests.rigs.dummies import rows
from tests.rigs.site import SHARDS, A, Site, active, serving, settings

LEAF = {"filter": "received_from_campaign", "campaign": "a"}
HIDDEN = {"filter": "received_from_campaign", "campaign": "b"}
COLUMNS = ["external_id", "user_id", "aliases", "user_aliases"]
FORMS = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
ROSTER: list[tuple[str, dict[str, Any] | None]] = [
    ("u1", {"external_user_id": "=1+1", "aliases": ["one", "eins"]}),
    ("u3", {"external_user_id": "three", "user_aliases": [
        {"alias_name": "III", "alias_label": "roman"}]}),
    ("u4", None),
]  # fmt: skip


def site(folder: Path, **more: Any) -> Site:
    """Users u0 to u11, in turns in four shards."""
    records = active(), SourceState("campaign:b", State.EXPIRED, 2)
    made = Site(settings(folder, **more), set(range(SHARDS)), *records)
    for shard in made.shards.values():
        shard.frames = [rows(A, *(f"u{n}" for n in range(shard.partition, 12, SHARDS)))]
        shard.roster = roster_rows(ROSTER, 1)
    return made


async def asked(
    session: aiohttp.ClientSession, made: Site, given: Any, query: str = "", **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    url = f"{made.context.address}/audience{query}"
    async with session.post(url, json=given, headers=headers) as answer:
        return answer, await answer.read()


def users_of(form: str, data: bytes) -> list[str]:
    if form == "ndjson":
        *lines, last = [json.loads(line) for line in data.splitlines()]
        assert last["count"] == len(lines)
        return [line["user_id"] for line in lines]
    read = pl.read_csv if form == "csv" else pl.read_parquet
    return [str(user) for user in read(io.BytesIO(data))["user_id"]]


@pytest.mark.parametrize("limit", [None, 0, 1, 5, 12, 13])
async def test_every_form_has_the_same_users_in_the_same_order(
    tmp_path: Path, limit: int | None
) -> None:
    made = site(tmp_path)
    expected = sorted(f"u{n}" for n in range(12))[:limit]
    given = {"filter": LEAF, "limit": limit, "columns": ["user_id"]}
    async with serving(made) as session:
        for form, media in FORMS.items():
            for query, headers in ((f"?format={form}", {}), ("", {"Accept": media})):
                answer, data = await asked(session, made, given, query, **headers)
                assert (answer.status, answer.content_type) == (200, media)
                users = users_of(form, data)
                assert (sorted(users) if form == "ndjson" and limit is None else users) == expected
                assert answer.headers["Emberline-Now"]
        page = {"filter": LEAF, "limit": 20 if limit is None else limit}
        answer, data = await asked(session, made, page)
        assert json.loads(data)["users"] == expected
        assert json.loads(data)["count"] == 12
    assert made.context.spools.used == 0
    assert all(shard.opened == shard.closed for shard in made.shards.values())


async def test_the_columns_are_those_that_are_picked(tmp_path: Path) -> None:
    made = site(tmp_path)
    given = {"filter": LEAF, "columns": COLUMNS, "limit": 20}
    async with serving(made) as session:
        _, lines = await asked(session, made, given, "?format=ndjson")
        _, table = await asked(session, made, given, "?format=csv")
        _, file = await asked(session, made, given, "?format=parquet")
        assert (await asked(session, made, {"filter": LEAF}, "?format=csv"))[1].startswith(
            b"user_id\nu0\nu1\nu10\n"
        )
    *found, last = [json.loads(line) for line in lines.splitlines()]
    assert last == {"complete": True, "count": 12}
    by_user = {one["user_id"]: one for one in found}
    nothing: dict[str, Any] = {"external_id": None, "aliases": [], "user_aliases": []}
    assert by_user["u0"] == {"user_id": "u0", **nothing}
    assert by_user["u4"] == {"user_id": "u4", **nothing}
    assert by_user["u1"]["aliases"] == ["one", "eins"]
    assert by_user["u3"] == {
        "external_id": "three",
        "user_id": "u3",
        "aliases": ["III"],
        "user_aliases": [{"alias_name": "III", "alias_label": "roman"}],
    }
    assert pl.read_parquet(io.BytesIO(file)).to_dicts() == found
    header, first, second, *_ = table.decode().splitlines()
    assert header == "external_id,user_id,aliases,user_aliases"
    assert (first, second.partition(",")[0]) == (",u0,,", "'=1+1")


async def test_cells_are_exact_where_the_setting_says_so(tmp_path: Path) -> None:
    made = site(tmp_path, csv_safe=False)
    given = {"filter": LEAF, "columns": ["external_id"], "limit": 2}
    async with serving(made) as session:
        _, table = await asked(session, made, given, "?format=csv")
    assert table == b"external_id\n\n=1+1\n" or table == b'external_id\n""\n=1+1\n'


@pytest.mark.parametrize(
    ("given", "query", "code"),
    [
        ({"columns": ["user"]}, "?format=csv", "bad_request"),
        ({"columns": []}, "?format=csv", "bad_request"),
        ({"columns": ["user_id", "user_id"]}, "?format=csv", "bad_request"),
        ({"columns": "user_id"}, "?format=csv", "bad_request"),
        ({"columns": [7]}, "?format=csv", "bad_request"),
        ({"columns": ["user_id"]}, "", "bad_request"),
        ({"cursor": "x"}, "?format=csv", "bad_request"),
        ({}, "?format=xlsx", "bad_request"),
        ({"filter": HIDDEN}, "?format=csv", "source_hidden"),
        ({"filter": HIDDEN}, "?format=parquet", "source_hidden"),
        ({"filter": {"filter": "nothing"}}, "?format=parquet", "unknown_filter"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem(
    tmp_path: Path, given: dict[str, Any], query: str, code: str
) -> None:
    made = site(tmp_path)
    async with serving(made) as session:
        answer, data = await asked(session, made, {"filter": LEAF, **given}, query)
    assert answer.content_type == "application/problem+json"
    assert json.loads(data)["code"] == code


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_what_is_left_out_is_named_in_headers(tmp_path: Path, form: str) -> None:
    made = site(tmp_path)
    given = {"filter": {"or": [LEAF, HIDDEN]}, "on_expired": "exclude"}
    async with serving(made) as session:
        answer, data = await asked(session, made, given, f"?format={form}")
    assert answer.headers["Emberline-Excluded-Expired"] == "campaign:b"
    assert answer.headers["Emberline-Excluded-Total"] == "1"
    assert len(users_of(form, data)) == 12


async def test_what_breaks_off_does_not_look_whole(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.shards[2].breaks = OSError("the disk is gone")
    async with serving(made) as session:
        with pytest.raises(aiohttp.ClientPayloadError):
            await asked(session, made, {"filter": LEAF}, "?format=csv")
        answer, data = await asked(session, made, {"filter": LEAF}, "?format=parquet")
    assert (answer.status, json.loads(data)["code"]) == (503, "busy")
    assert made.context.spools.used == 0


async def test_a_file_takes_its_share_of_the_quota(tmp_path: Path) -> None:
    made = site(tmp_path)
    made.context.spools.take(made.context.settings.spool_bytes - 1_000)
    async with serving(made) as session:
        answer, data = await asked(session, made, {"filter": LEAF}, "?format=parquet")
        assert (answer.status, json.loads(data)["code"]) == (503, "busy")
        assert (await asked(session, made, {"filter": LEAF}, "?format=csv"))[0].status == 200
    assert made.context.spools.used == made.context.settings.spool_bytes - 1_000


def test_frames_of_nobody_have_the_columns() -> None:
    found = frame(NOBODY, None, COLUMNS)
    assert found.columns == COLUMNS
    assert_frame_equal(found, frame(NOBODY, roster_rows([], 1), COLUMNS))
    assert csv(found, safe=True) == ndjson(found) == b""


async def test_the_command_writes_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site(tmp_path)
    monkeypatch.chdir(tmp_path)

    async def run(*words: str) -> Result:
        port = made.context.address.rpartition(":")[2]
        given = ["audience", json.dumps(LEAF), "--http-port", port, *words]
        return await asyncio.to_thread(CliRunner().invoke, main, given)

    async with serving(made):
        for form in FORMS:
            words = ("--format", form, "--columns", "user_id, external_id", "--limit", "4")
            done = await run(*words, "--out", f"users.{form}")
            assert done.exit_code == 0, done.output
            data = (tmp_path / f"users.{form}").read_bytes()
            assert f"users.{form}: {len(data):,} bytes" in done.stderr
            users = users_of(form, data.replace(b'"complete": false', b'"complete": true'))
            assert users == ["u0", "u1", "u10", "u11"]
            if form == "csv":
                assert (await run(*words)).stdout_bytes == data
                told = json.loads((await run(*words, "--out", "again", "--json")).stdout)
                assert told == {
                    "format": "csv", "output": "again", "bytes": len(data), "excluded_expired": []
                }  # fmt: skip
        assert (await run("--format", "csv", "--columns", "name", "--out", "none")).exit_code == 2
        assert not (tmp_path / "none").exists()
        assert (await run("--format", "count", "--columns", "user_id")).exit_code == 2
        assert (await run("--format", "count")).stdout == "12\n"
        assert (await run("--format", "csv", "--json")).exit_code == 2


async def test_a_question_names_sources_as_people_call_them(tmp_path: Path) -> None:
    made = site(tmp_path)
    records = (
        SourceState(A, State.ACTIVE, 1, name="Spring sale"),
        *(SourceState(key, State.ACTIVE, 1, name="Twice") for key in ("campaign:1", "campaign:2")),
    )
    made.states.records.update({record.source: record for record in records})
    given = {"filter": LEAF | {"campaign": "spring SALE"}}
    async with serving(made) as session:
        _, data = await asked(session, made, given | {"limit": 5})
        page = json.loads(data)
        assert page["understood"] == [{"given": "spring SALE", "source": A, "name": "Spring sale"}]
        assert (page["count"], len(page["users"])) == (12, 5)
        # the cursor is of the key: the same question, however it is written
        following = {"filter": LEAF, "cursor": page["next"], "limit": 20}
        again = LEAF | {"campaign": A}
        _, data = await asked(session, made, following | {"filter": again})
        assert len(json.loads(data)["users"]) == 7
        for form in FORMS:
            answer, _ = await asked(session, made, given, f"?format={form}")
            assert answer.status == 200
            assert answer.headers["Emberline-Understood"] == f"spring%20SALE={A}"
        answer, data = await asked(session, made, {"filter": LEAF | {"campaign": "twice"}})
        problem = json.loads(data)
        assert (answer.status, problem["code"]) == (409, "ambiguous_source")
        assert [one["source"] for one in problem["candidates"]] == ["campaign:1", "campaign:2"]
        answer, data = await asked(session, made, {"filter": LEAF | {"campaign": "spring"}})
        assert (answer.status, json.loads(data)["code"]) == (404, "unknown_source")
