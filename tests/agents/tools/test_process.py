"""A measured process: its cost is read, its failure is reported, and it never stays behind."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agents.tools.process import Child, environment, environment_of
from schemas.errors import Fatal
from streams.settings import load


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


def test_the_error_of_a_failed_process_has_its_last_output(tmp_path: Path) -> None:
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


def test_a_child_has_the_very_settings_and_secrets_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    settings = load({"prefix": "mine.", "api_key": "k1"}, env={}, file=file)
    found = load(env=environment_of(settings), file=file)
    assert found == settings
    assert found.api_key == "k1"


WAITS = "import signal; print('ready', flush=True); signal.pause()"
PARENT = """
import sys, time
from pathlib import Path
from agents.tools.process import Child, environment
log = Path(sys.argv[1])
child = Child([sys.executable, "-c", sys.argv[2]], log, environment(), {life})
while "ready" not in log.read_text():
    time.sleep(0.01)
print(child.pid, flush=True)
{end}
"""


def _grandchild(folder: Path, life: str, end: str) -> int:
    """The process id of a child whose parent has ended without a word to it."""
    program = PARENT.format(life=life, end=end)
    command = [sys.executable, "-c", program, str(folder / "child"), WAITS]
    with Child(command, folder / "log", environment(), folder / "out") as parent:
        parent.wait(60)
    return int((folder / "out").read_text())


def _ended(pid: int) -> bool:
    """Whether a process that is not our child is gone, or is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such thing")
def test_a_child_that_dies_with_its_parent_survives_no_kill(tmp_path: Path) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    pid = _grandchild(tmp_path, "dies_with_parent=True", kill)
    deadline = time.monotonic() + 20
    while not _ended(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _ended(pid)


def test_a_child_that_is_left_runs_on(tmp_path: Path) -> None:
    pid = _grandchild(tmp_path, "own_session=True", "child.leave(); child.stop()")
    assert not _ended(pid)
    os.kill(pid, signal.SIGKILL)
