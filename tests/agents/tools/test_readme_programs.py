"""The producer and the consumer of the README run as they stand there."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from agents.tools.process import environment_of
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.worker import Process, running

ROOT = Path(__file__).parents[3]
DEADLINE_S = 90


def programs() -> dict[str, str]:
    """The programs of the README by the name in their first line."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", _readme(), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def _readme() -> str:
    return (ROOT / "README.md").read_text()


@asynccontextmanager
async def program(
    name: str, folder: Path, settings: Settings
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program of the README in the folder of the project, as the README says."""
    file = folder / name
    file.write_text(programs()[name])
    env = environment_of(settings) | {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_the_readme_has_both() -> None:
    assert programs().keys() == {"producer.py", "consumer.py"}


async def _rows(session: aiohttp.ClientSession, worker: Process) -> int:
    """How many rows of the source the worker shows; 0 while it knows no such source."""
    async with session.get(f"{worker.url}/sources/campaign:spring/interactions") as answer:
        lines = (await answer.text()).splitlines()
    return int(json.loads(lines[-1])["count"]) if answer.status == 200 else 0


@pytest.mark.connected
async def test_they_run(settings: Settings, topics: Topics, tmp_path: Path) -> None:
    fast = {"retention": "PT1S", "sweep_interval": "PT0.2S", "sweep_confirm_share": 1}
    settings = replace(settings, **fast)  # type: ignore[arg-type]  # read as in the environment
    one = '{"key": "campaign:spring", "status": "%s"}'
    async with asyncio.timeout(DEADLINE_S), running(settings) as worker:
        await worker.ready()
        await emberline(settings, "send", "definition", one % "ACTIVE")
        async with program("producer.py", tmp_path, settings) as producer:
            assert await producer.wait() == 0
        async with aiohttp.ClientSession() as session:
            while await _rows(session, worker) < 1:  # noqa: ASYNC110  # another process has it
                await asyncio.sleep(0.05)
        async with program("consumer.py", tmp_path, settings) as consumer:
            assert consumer.stdout is not None
            await emberline(settings, "send", "definition", one % "STOPPED")
            line = (await consumer.stdout.readline()).decode().split()
            assert line == [topics.expired, "campaign:spring", "1"], worker.tail()
            await emberline(settings, "restore", "campaign:spring")
            line = (await consumer.stdout.readline()).decode().split()
            assert line == [topics.restored, "campaign:spring", "1"], worker.tail()
