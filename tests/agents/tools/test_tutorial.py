"""The tutorial runs as it stands there, from its first command to its last."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from agents.tools.bench.field import free_port
from streams.settings import Settings

pytestmark = [pytest.mark.connected, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
DEADLINE_S = 150.0
BROKER = "emberline broker --keep\nexport KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092\n"


def _script(page: str, port: int) -> str:
    """All blocks in their order; the broker and the worker's port are the test's."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    script = "\n".join(f'echo "step {number}"\n{block}' for number, block in enumerate(blocks, 1))
    assert script.count(BROKER) == 1
    return script.replace(BROKER, "").replace(":6066/", f":{port}/")


async def test_the_tutorial_runs_as_it_stands_there(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    port = free_port()
    script = tmp_path / "tutorial.sh"
    script.write_text(_script((ROOT / "docs/tutorial.md").read_text(), port))
    env = {name: value for name, value in os.environ.items() if not name.startswith("EMBERLINE_")}
    env |= {
        "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "EMBERLINE_PREFIX": settings.prefix,
        "EMBERLINE_HTTP_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", str(script)),
        cwd=tmp_path,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # the worker ends with it, whatever happens
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    told = out.decode()
    log = tmp_path / "worker.log"
    assert process.returncode == 0, told + (log.read_text() if log.exists() else "")
    steps = re.split(r"^step \d+\n", told, flags=re.MULTILINE)[1:]
    *_, asked, _stopped, refused, restored, _ended = steps
    assert "grace" in asked
    assert "ada" not in asked
    assert "refused, with the remedy" in refused
    assert "emberline restore" in refused
    assert "grace" in restored
    assert "restored" in restored.lower()
