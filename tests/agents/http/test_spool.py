"""Folders of answers are deleted with the answer, or at the next start of a worker."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from agents.http.spool import clean_up, spool
from streams.settings import load
from tests.rigs.dummies import until
from tests.rigs.worker import running

KILLED = """
import os, signal, sys
from pathlib import Path
from agents.http.spool import spool

with spool(Path(sys.argv[1])) as folder:
    (folder / "0.arrow").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _killed(folder: Path) -> None:
    """A process ends in the middle of an answer."""
    child = subprocess.run([sys.executable, "-c", KILLED, str(folder)], timeout=60, check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(_left(folder)) == 1


def _left(folder: Path) -> list[Path]:
    return list(folder.glob("export-*/0.arrow"))


def test_a_folder_ends_with_its_answer(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with spool(data) as folder:
        (folder / "0.arrow").write_bytes(b"x")
        assert folder.parent == data
    assert os.listdir(data) == []


def test_what_a_killed_worker_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / "export-of-mine", tmp_path / "shard-0"]
    for folder in kept:
        folder.mkdir()
    _killed(tmp_path)
    clean_up(tmp_path)
    assert sorted(tmp_path.iterdir()) == kept
    clean_up(tmp_path / "none")


async def test_a_worker_sweeps_at_its_start(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    await asyncio.to_thread(_killed, folder)
    # it waits for a broker that will not come: what it does before is enough
    flags = {
        "bootstrap_servers": "127.0.0.1:1",
        "data_dir": folder,
        "http_port": 0,
        "keys_file": tmp_path / "none.json",
    }
    async with running(load(flags, env={}, file=tmp_path / "none.toml")):
        await until(lambda: not _left(folder))
