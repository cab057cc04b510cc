"""`emberline topics` and `emberline broker` against a real broker."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner

from agents.cli import main
from streams.devbroker.probe import cluster_id
from streams.settings import Settings

pytestmark = pytest.mark.connected


def call(settings: Settings, *args: str, code: int = 0) -> str:
    flags = ["--bootstrap-servers", settings.bootstrap_servers, "--prefix", settings.prefix]
    result = CliRunner().invoke(main, [*flags, "--partitions", "4", *args])
    assert result.exit_code == code, result.output
    return result.stdout


async def send(settings: Settings, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"k", headers=[("h", b"1")])
    finally:
        await producer.stop()


def test_check_and_create(settings: Settings) -> None:
    problems = json.loads(call(settings, "topics", "check", "--json", code=1))
    assert problems["ok"] is False
    assert len(problems["problems"]) == 22
    assert "is missing" in call(settings, "topics", "check", code=1)

    created = json.loads(call(settings, "topics", "create", "--json"))["created"]
    assert len(created) == 22
    assert "exist already" in call(settings, "topics", "create")
    assert json.loads(call(settings, "topics", "check", "--json")) == {"ok": True, "problems": []}
    assert "as they should be" in call(settings, "topics", "check")


def test_tail_shows_the_last_records(settings: Settings) -> None:
    call(settings, "topics", "create")
    name = f"{settings.prefix}control"
    asyncio.run(send(settings, name, b"first", b'{"type": "pause"}', b"\xffgarbage"))
    lines = call(settings, "topics", "tail", "control", "-n", "2", "--json").splitlines()
    last = [json.loads(line) for line in lines]
    assert [line["value"] for line in last] == [{"type": "pause"}, "\\xffgarbage"]
    assert (last[0]["key"], last[0]["headers"], last[0]["offset"]) == ("k", {"h": "1"}, 1)
    assert "first" in call(settings, "topics", "tail", name)
    assert call(settings, "topics", "tail", "catalog") == ""


def test_tail_of_a_topic_that_is_not_there(settings: Settings) -> None:
    call(settings, "topics", "create")
    result = CliRunner().invoke(
        main,
        [
            *("topics", "tail", "audit", "--prefix", settings.prefix),
            *("--bootstrap-servers", settings.bootstrap_servers),
        ],
    )
    assert result.exit_code == 2
    assert f"Did you mean {settings.prefix}lifecycle.audit" in result.stderr


def test_no_broker_is_one_line(settings: Settings) -> None:
    result = CliRunner().invoke(
        main, ["topics", "check", "--bootstrap-servers", "127.0.0.1:1", "--prefix", "x."]
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("emberline: The Kafka broker at 127.0.0.1:1 does not answer")


def test_a_named_broker_is_shown(broker: str, tmp_path: Path) -> None:
    args = ["broker", "--json", "--folder", str(tmp_path)]
    result = CliRunner().invoke(main, args, env={"KAFKA_BOOTSTRAP_SERVERS": broker})
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["bootstrap_servers"], facts["how"], facts["pid"]) == (broker, "external", None)


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_broker_runs_until_it_is_ended(tmp_path: Path, end: signal.Signals) -> None:
    env = {name: text for name, text in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    command = [sys.executable, "-m", "agents.cli", "broker", "--json", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
    assert process.stdout is not None
    with process.stdout as said:
        facts = json.loads(said.readline())
        assert facts["how"] == "java"
        assert cluster_id(facts["bootstrap_servers"])
        process.send_signal(end)
        assert process.wait(60) == 0
    assert cluster_id(facts["bootstrap_servers"]) is None
