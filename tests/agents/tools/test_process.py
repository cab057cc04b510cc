"""A measured process: its cost is read, its failure is told, and it never stays behind."""

import os
import sys
import time
from pathlib import Path

import pytest

from agents.tools.process import Child, environment
from schemas.errors import Fatal


def test_cpu_and_memory_are_those_of_the_process(tmp_path: Path) -> None:
    work = "x = bytearray(30_000_000)\nwhile True: sum(range(1000))"
    with Child([sys.executable, "-c", work], tmp_path / "log", environment()) as child:
        deadline = time.monotonic() + 20
        while child.cpu() < 0.3 and time.monotonic() < deadline:
            pass
        assert child.cpu() >= 0.3
        assert child.peak() > 30_000_000
    assert not child.running()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with Child(command, tmp_path / "log", environment()) as child:
        child.wait(20)
        with pytest.raises(Fatal, match="no such thing"):
            child.check()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    work = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)"
    )
    log = tmp_path / "log"
    child = Child([sys.executable, "-c", f"{work}\nsignal.pause()"], log, environment())
    deadline = time.monotonic() + 20
    while "ready" not in log.read_text() and time.monotonic() < deadline:
        pass
    child.stop(0.1)
    assert child.wait(1) < 0


def test_a_child_does_not_inherit_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBERLINE_PREFIX", "mine.")
    assert "EMBERLINE_PREFIX" not in environment()
    assert environment(EMBERLINE_PREFIX="other.")["EMBERLINE_PREFIX"] == "other."
