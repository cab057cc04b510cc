"""A hundred restores with one damaged record in the archive, on a real worker and broker."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, records, small, until
from tests.rigs.hostile.archive_topic import archived, rewrite

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_BASE_MS = 1_767_225_600_000
SOURCES = [f"campaign:c{number:02d}" for number in range(100)]
BAD = SOURCES[61]


@pytest.mark.timeout(300)
async def test_one_fails_with_its_place_99_are_back_and_the_mended_one_comes_back_too(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    settings = small(settings, retention="P1D")
    await published(settings)
    with Cluster(settings, tmp_path, workers=1) as cluster:
        cluster.start()
        await cluster.ready()
        url = cluster.slots[0].url
        async with aiohttp.ClientSession() as session:
            assert await asked(cluster, session, "expire", "all") == (100, 0)
            cluster.slots[0].kill()
            whole = await archived(settings)
            at = min(place for place, one in whole.items() if one.key == BAD.encode())
            data = bytearray(whole[at].value or b"")
            data[len(data) // 2] ^= 1
            await rewrite(settings, whole | {at: whole[at]._replace(value=bytes(data))})
            cluster.start()
            await cluster.ready()
            assert await asked(cluster, session, "restore", "all") == (99, 1)
            await cluster.states_are({one: "STOPPED" for one in SOURCES if one != BAD})
            await cluster.states_are({BAD: "EXPIRED"})
            place = f"{topics.archive}[{at[0]}]@{at[1]}"
            async with session.get(f"{url}/sources/{BAD}") as answer:
                shown = await answer.json()
            failure = shown["failure"]
            assert (failure["code"], failure["place"]) == ("archive_damaged", place)
            assert failure["shard"] == at[0]
            (told,) = [
                one
                for one in await records(settings, topics.control_results, "result")
                if one["source"] == BAD and one["outcome"] == "failed"
            ]
            assert told["code"] == "archive_damaged"
            assert place in told["message"]
            assert failure["segment"] in told["message"]
            # an operator mends the archive, and restores it again
            cluster.slots[0].kill()
            await rewrite(settings, whole)
            cluster.start()
            await cluster.ready()
            assert await asked(cluster, session, "restore", "again", [BAD]) == (1, 0)
            assert len(await cluster.rows(session, BAD)) == 3


async def published(settings: Settings) -> None:
    """Three users and the definition of each source."""
    events, definitions = [], []
    for source in SOURCES:
        for number in range(3):
            event = {"id": f"{source}-{number}", "user_id": f"u{number}", "time": _BASE_MS,
                     "campaign_id": source.partition(":")[2], "channel": "EMAIL"}  # fmt: skip
            events.append((f"u{number}".encode(), codec.encode("send", event)))
        record = {"key": source, "status": "STOPPED", "name": source, "tags": ["t"],
                  "updated_at": _BASE_MS}  # fmt: skip
        definitions.append((source.encode(), codec.encode("definition", record)))
    for topic, pairs in (("interactions.send", events), ("catalog", definitions)):
        keys, values = zip(*pairs, strict=True)
        await publish(settings, [Chunk(topic, keys, values)])


async def asked(
    cluster: Cluster,
    session: aiohttp.ClientSession,
    kind: str,
    name: str,
    sources: list[str] | None = None,
) -> tuple[int, int]:
    """A request by tag, or of some sources, once all of it is over: completed and failed."""
    url = cluster.slots[0].url

    async def known() -> bool:
        async with session.get(f"{url}/sources?limit=1") as answer:
            return answer.status == 200 and (await answer.json())["total"] == len(SOURCES)

    await until(known, 60, "all sources are known", cluster.tails)
    body = {"type": kind, **({"sources": sources} if sources else {"tag": "t"})}
    header = {"Idempotency-Key": f"{kind}-{name}"}
    async with session.post(f"{url}/requests", json=body, headers=header) as answer:
        assert answer.status == 202, await answer.text()
        where = answer.headers["Location"]
    found: dict[str, Any] = {}

    async def over() -> bool:
        async with session.get(url + where) as answer:
            found.update(await answer.json())
        return found["state"] in ("finished", "failed")

    await until(over, 120, f"{kind} is over", lambda: f"{found}\n{cluster.tails()}"[-6000:])
    return found["counts"]["completed"], found["counts"]["failed"]
