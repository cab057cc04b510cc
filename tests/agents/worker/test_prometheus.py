"""A real Prometheus scrapes a real worker, with the configuration and the rules of `deploy`."""

import asyncio
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import yaml

from agents.http.keys import Keys, Scope
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.topics import Topics
from streams.metrics import names
from streams.settings import Settings
from tests.rigs.prometheus import MISSING, prometheus
from tests.rigs.worker import running

pytestmark = [
    pytest.mark.connected,
    pytest.mark.skipif(MISSING, reason="prometheus is missing: apt-get install prometheus"),
]

DEPLOY = Path(__file__).parents[3] / "deploy" / "prometheus"


TIME = 1_767_225_600_000


def configuration(address: str, key: Path) -> str:
    """The example of `deploy`, for one worker, with a shorter interval."""
    found = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    found["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    found["rule_files"] = [str(DEPLOY / name) for name in found["rule_files"]]
    (job,) = found["scrape_configs"]
    job["authorization"]["credentials_file"] = str(key)
    job["static_configs"] = [{"targets": [address]}]
    return str(yaml.safe_dump(found))


def sends(number: int) -> tuple[list[bytes | None], list[bytes | None]]:
    """Keys and values of so many events, and of one whose time is in seconds."""
    events = [
        {"id": f"e{n}", "user_id": f"person-{n}", "time": TIME, "campaign_id": "a"}
        for n in range(number)
    ]
    events.append(events[0] | {"id": "bad", "time": TIME // 1000})
    keys: list[bytes | None] = [str(event["user_id"]).encode() for event in events]
    return keys, [codec.encode("send", event) for event in events]


def accesses(text: str) -> int:
    """How many requests the log names."""
    return text.count('"message":"access"')


def check_log(text: str, *secrets: str) -> None:
    """Each line is an object, steps are named, and nothing names a user or has a secret."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(re.search(r"changelog\[\d\]@\d+$", line.get("step", "")) for line in lines)
    assert sum(line["message"] == "access" for line in lines) == 3
    assert all("http_request" in line for line in lines if line["message"] == "access")
    assert not any(secret in text for secret in ("person-", *secrets))


async def test_prometheus_scrapes_a_worker_and_its_queries_have_values(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    settings = replace(settings, keys_file=tmp_path / "keys.json", log_format="json")
    keys, token = Keys().add("prometheus", [Scope.METRICS], 1)
    keys, other = keys.add("reader", [Scope.READ, Scope.EXPORT], 1)
    keys.save(settings.keys_file)
    key = tmp_path / "emberline.key"
    key.write_text(f"{token}\n")
    async with running(settings) as worker, aiohttp.ClientSession() as session:
        await worker.ready()
        address = worker.url.removeprefix("http://")
        await publish(settings, [Chunk("interactions.send", *sends(200), partitioner="murmur2")])
        async with prometheus(configuration(address, key), tmp_path / "prometheus") as server:
            await server.until("sum(emberline_events_total) == 200")
            assert set((await server.until("emberline_rejects_total")).values()) == {1.0}
            (ready,) = (await server.query('emberline_ready{job="emberline"}')).values()
            assert ready == 1
            shards = await server.query("sum(emberline_shards_ready) == max(emberline_partitions)")
            assert list(shards.values()) == [4.0]
            assert await server.until("sum(emberline_hot_rows) == 200")
            buckets = f"sum by (le) ({names.COMMIT_TIME.name}_bucket)"
            (commit,) = (await server.query(f"histogram_quantile(0.9, {buckets})")).values()
            assert 0 < commit < 60
            (skew,) = (await server.query(names.CLOCK_SKEW.name)).values()
            assert abs(skew) < 60
            (built,) = await server.query(names.BUILD.name)
            assert dict(built)["python"].startswith("3.")
            # the next scrape counts the one before
            scrapes = 'emberline_http_requests_total{route="/metrics", code="200"} > 0'
            assert await server.until(scrapes)
            rules = [
                rule for group in (await server.api("rules"))["groups"] for rule in group["rules"]
            ]
            assert len(rules) == len(re.findall("- alert: ", (DEPLOY / "alerts.yml").read_text()))
            async with asyncio.timeout(60):
                while {rule["health"] for rule in rules} != {"ok"}:
                    await asyncio.sleep(0.2)
                    groups = (await server.api("rules"))["groups"]
                    rules = [rule for group in groups for rule in group["rules"]]
            (target,) = (await server.api("targets", state="active"))["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")
        async with session.get(
            f"{worker.url}/metrics", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            text = await answer.read()
        async with session.get(
            f"{worker.url}/metrics", headers={"Authorization": f"Bearer {other}"}
        ) as answer:
            assert answer.status == 403
        for path in ("/users/person-1", "/users/person-nobody", "/sources/campaign:a/users.csv"):
            headers = {"Authorization": f"Bearer {other}"}
            async with session.get(f"{worker.url}{path}", headers=headers) as answer:
                assert answer.status in (200, 404)
                assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
                await answer.read()
        # a worker is killed at the end, and writes of a request once its answer has gone out
        async with asyncio.timeout(30):
            while accesses(log := await asyncio.to_thread(worker.log.read_text)) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    check_log(log, token, other)
    checked = await asyncio.to_thread(
        subprocess.run,
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
