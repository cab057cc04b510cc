"""Kafka takes no steps for a while: a shard keeps what it has, and answers with it."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.host import NotHeld
from agents.oracle import expect, rows_of
from agents.standing import Standing
from schemas.lifecycle import State
from streams import topics as topic_admin
from streams.broker import LocalBroker
from streams.settings import Settings, load
from streams.step import StepFailed
from tests.agents.test_shard import SMALL, A, B, events, start

pytestmark = [pytest.mark.connected, pytest.mark.slow]


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalBroker]:
    """A broker of this test alone, as it is made to stand still here."""
    env = {name: v for name, v in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    with LocalBroker(tmp_path / "broker", heap="512m", env=env, deadline_s=240) as local:
        yield local


@pytest.fixture
async def alone(own_broker: LocalBroker, tmp_path: Path) -> Settings:
    """One shard, with a short time for a step."""
    flags = {
        "bootstrap_servers": own_broker.bootstrap_servers,
        "prefix": "own.",
        "partitions": 1,
        "data_dir": tmp_path / "data",
        "transaction_timeout": "PT2S",
    }
    settings = load(flags, env={}, file=tmp_path / "none.toml")
    await topic_admin.create(settings)
    return settings


@contextmanager
def still(broker: LocalBroker) -> Iterator[None]:
    """The broker's connections stay, and it does nothing."""
    if broker.how != "java" or broker.pid is None:
        pytest.skip("a broker in a container cannot be stopped from here")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


async def test_a_shard_answers_with_what_it_has_until_kafka_takes_steps_again(
    own_broker: LocalBroker, alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    standing = Standing()
    stand = await start(alone, standing=standing)
    sent = events(300)
    rows = {source: rows_of(expect(sent), source) for source in (A, B, SMALL)}
    try:
        await stand.send(sent, 0)
        with still(own_broker):
            await stand.tell(A, State.EXPIRING, 2)  # a step
            await stand.until(lambda: stand.shard.status.phase == "stalled")
            assert stand.shard.ready
            assert await stand.rows(B) == rows[B]
            assert await stand.rows(SMALL) == rows[SMALL]
            await stand.until(lambda: min(stand.shard.status.lag.values()) >= 1)
        assert "not within 2 s: broker 1: RequestTimedOutError, no answer came" in caplog.text
        with pytest.raises(StepFailed):
            await stand.task

        stand = await start(alone, stand.view, standing=standing)
        await stand.applied(A, 2)
        with still(own_broker):
            await stand.tell(SMALL, State.EXPIRING, 2)
            await stand.until(lambda: stand.shard.status.phase == "stalled")
            standing.doubt()
            with pytest.raises(NotHeld):
                await stand.rows(B)
            with pytest.raises(StepFailed):  # nothing is left that it could answer
                await stand.task

        stand = await start(alone, stand.view, standing=standing)
        await stand.applied(SMALL, 2)
        assert await stand.rows(B) == rows[B]
    finally:
        await stand.stop()
