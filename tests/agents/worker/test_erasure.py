"""Users are erased by a command on the control topic, with a real worker from end to end."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest

from agents.tools.operator_requests import ask, command
from agents.tools.publish import Chunk, publish
from agents.verify.user_traces import user_traces
from agents.verify.verify import verify
from schemas.records import codec
from schemas.records.lifecycle import Outcome
from schemas.tables.placement import partition_of
from streams import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_each
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.faults.harness import define, small
from tests.rigs.worker import Process, running

A = "campaign:spring"
USERS = [f"person-{number}" for number in range(40)]


def event(user: str, number: int) -> bytes:
    fields = {"id": f"{user}-{number}", "user_id": user, "time": 1_767_225_600_000 + number}
    return codec.encode("send", {**fields, "campaign_id": "spring", "channel": "EMAIL"})


def shard_of(user: str) -> int:
    return int(partition_of(pl.Series([user], dtype=pl.String), 4)[0])


#: Users who were merged into one who is erased: in the shard of that one, and in another.
MERGED = [
    next(name for name in map("alias-{}".format, range(99)) if there == (shard_of(name) == home))
    for home in (shard_of(USERS[3]),)
    for there in (True, False)
]


def merges(users: Sequence[str], into: str) -> Chunk:
    records = [codec.encode("user", {"user_id": user, "merged_into": into}) for user in users]
    return Chunk("users", [user.encode() for user in users], records)


async def proven(settings: Settings, users: int) -> None:
    """`verify` finds no trace of the erased users, and no damage."""
    report = await verify(Environment.of(settings))
    assert (report.findings, report.unchecked) == ([], [])
    assert report.figures["erased_users"] == users


@pytest.mark.connected
async def test_a_command_erases_users_from_acceptance_to_completion(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    settings = small(settings, erasure_key_file=tmp_path / "erasure.key")
    await define(settings, A, "ACTIVE", 1_767_225_600_000)
    await define(settings, "campaign:other", "ACTIVE", 1_767_225_600_000)
    events = [Chunk("interactions.send", [b"x"] * 40, [event(user, 0) for user in USERS])]
    await publish(settings, [*events, merges(MERGED, USERS[3])])
    gone = {USERS[3], USERS[7], "nobody"}

    async with running(settings) as worker, aiohttp.ClientSession() as session:
        await worker.ready()

        async def found() -> set[str]:
            url = f"{worker.url}/sources/{A}/interactions"
            async with session.get(url) as answer:
                assert answer.status == 200, await answer.text()
                lines = (await answer.text()).splitlines()
            return {user for user in USERS if any(f'"{user}"' in line for line in lines)}

        async def without(campaign: str) -> set[str]:
            """Who has received nothing of a campaign: whoever the shards know may be among them."""
            asked = {"not": {"filter": "received_from_campaign", "campaign": campaign}}
            async with session.post(f"{worker.url}/audience", json={"filter": asked}) as answer:
                assert answer.status == 200, await answer.text()
                return set((await answer.json())["users"])

        async def totals() -> int:
            async with session.get(f"{worker.url}/sources/{A}/analytics") as answer:
                assert answer.status == 200, await answer.text()
                return sum(row["count"] for row in (await answer.json())["totals"])

        while await found() != set(USERS):
            pass
        assert await without("other") == set(USERS)
        before = await totals()
        record = {**command("erase", request_id="one"), "users": sorted(gone)}
        refused = await ask(settings, record)
        assert refused.bad
        assert "emberline keys erasure" in refused.bad[0]["message"]
        erasure_key.make(settings.erasure_key_file)
        answer = await ask(settings, {**record, "request_id": "two"})
        assert answer.whole is not None
        assert answer.whole["outcome"] == Outcome.COMPLETED
        assert answer.whole["message"] == (
            "hidden in every answer; 2 rows removed from hot data, 0 from the archive, "
            "2 merges of other users"
        )
        await publish(settings, [Chunk("interactions.send", [b"x"], [event(USERS[3], 1)])])
        assert await found() == await without("other") == set(USERS) - gone
        assert await totals() >= before == len(USERS), "counts keep their sums"
        async with session.get(f"{worker.url}/users/{USERS[3]}") as answer_of_one:
            assert answer_of_one.status == 404, await answer_of_one.text()
        for user in MERGED:
            async with session.get(f"{worker.url}/users/{user}") as answer_of_one:
                assert answer_of_one.status == 404, await answer_of_one.text()
                assert USERS[3] not in await answer_of_one.text()
        async with session.get(f"{worker.url}/erasures/two") as told:
            receipt = (await told.json())["receipt"]
        states = {place["place"]: place["state"] for place in receipt["places"]}
        assert states["answers"] == states["hot tables"] == states["archive"] == "gone"
        # and by the command line, which seals the users itself
        keyed = ("--set", f"erasure_key_file={settings.erasure_key_file}", "--partitions", "4")
        wrong = ("--set", f"erasure_key_file={settings.erasure_key_file}", "--partitions", "3")
        made = await emberline(settings, "erase", USERS[5], "--yes", *wrong)
        assert made.exit_code == 1
        assert "partitions=4" in made.output
        made = await emberline(settings, "erasures", "--of", USERS[5], *wrong)
        assert (made.exit_code, "Give --partitions 4" in made.output) == (2, True)
        given = ("erase", USERS[5], "--yes", "--json", "--request-id", "three", *keyed)
        made = await emberline(settings, *given)
        assert made.exit_code == 0, made.output
        facts = json.loads(made.stdout)
        assert (facts["outcome"], facts["users"]) == ("completed", 1)
        assert facts["receipt"]["done"] == facts["receipt"]["shards"] == 4
        assert await found() == set(USERS) - gone - {USERS[5]}
        made = await emberline(settings, "erasures")
        assert made.stdout.count("finished") == 2, made.output
        assert made.stdout.count("failed") == 2, made.output
        made = await emberline(settings, "erasures", "three")
        assert "former copies in the archive" in made.stdout, made.output
        await proven(settings, 4)
    await proven(settings, 4)  # and without a worker
    commands = [
        one.value or b"" async for _, _, one in read_each(KafkaLog(settings), topics.control)
    ]
    assert not [one for one in commands if USERS[5].encode() in one]
    for topic in (topics.coordinator, topics.audit, topics.control_results):
        async for _, _, one in read_each(KafkaLog(settings), topic):
            assert not [user for user in gone if user.encode() in (one.value or b"")]


@pytest.mark.connected
async def test_killed_workers_go_on_and_no_restore_brings_the_user_back(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    key = tmp_path / "erasure.key"
    erasure_key.make(key)
    settings = small(settings, erasure_key_file=key, retention="PT1S")
    events = [Chunk("interactions.send", [b"x"] * 40, [event(user, 0) for user in USERS])]
    await publish(settings, [*events, merges(MERGED, USERS[3])])
    await define(settings, A, "STOPPED", 1_767_225_600_000)
    gone = {USERS[3], USERS[7]}

    async def told(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
        async with session.get(url) as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def until(worker: Process, path: str, state: str) -> None:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                if (await told(session, f"{worker.url}{path}")).get("state") == state:
                    return
                await asyncio.sleep(0.02)

    record = {**command("erase", request_id="one"), "users": sorted(gone)}
    async with running(settings) as worker:
        await worker.ready()
        await until(worker, f"/sources/{A}", "EXPIRED")
        await ask(settings, record, wait=False)
        worker.kill()
    async with running(settings) as worker:
        # as soon as it answers, whatever it has done by then
        await worker.ready()
        worker.kill()
    async with running(settings) as worker:
        await worker.ready()
        await until(worker, "/erasures/one", "finished")
        restored = {**command("restore", (A,), request_id="two")}
        assert not (await ask(settings, restored)).bad
        url = f"{worker.url}/sources/{A}/interactions"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        assert {user for user in USERS if f'"{user}"' in text} == set(USERS) - gone
    for user in gone:
        found = await user_traces(Environment.of(settings), user)
        assert found.gone, found
    await proven(settings, len(gone))
    kept = (await user_traces(Environment.of(settings), USERS[6])).rows
    assert kept["archive"] == 1
    assert kept["deltas"] + kept["segments"] > 0
