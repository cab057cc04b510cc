"""The process of a broker: started, with or without a guard, and ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from schemas.errors import Fatal

__all__ = ["BrokerProcess", "is_alive"]

_GUARD = Path(__file__).parent / "guard.py"
_STOP_S = 30.0


class BrokerProcess:
    """One running command, with its output in `log`.

    With `keep` the command continues after this process ends; otherwise it ends with this process,
    also if this process is killed.
    """

    def __init__(self, command: list[str], log: Path, *, keep: bool = False) -> None:
        self._keep = keep
        guarded = command if keep else [sys.executable, "-I", "-S", str(_GUARD), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL if keep else subprocess.PIPE,
                stdout=output if keep else subprocess.PIPE,
                stderr=output,
                # Ctrl-C in the terminal is not for the broker
                start_new_session=True,
            )
        self.pid = self._process.pid if keep else self._reported_pid(command)

    def _reported_pid(self, command: list[str]) -> int:
        line = _pipe(self._process.stdout).readline()
        if not line.strip().isdigit():
            self._process.wait(_STOP_S)
            raise Fatal(f"{command[0]} could not be started", remedy="See the broker's log")
        return int(line)

    def running(self) -> bool:
        """Whether the command still runs."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait for the command's own end; return its exit code."""
        return self._process.wait()

    def stop(self) -> None:
        """End the command politely, by force after a while; wait until it has ended."""
        if self._keep:
            self._process.terminate()
        else:
            _pipe(self._process.stdin).close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End the command by SIGKILL, as a crash would; wait until it has ended."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait(_STOP_S)
        self._close()

    def leave(self) -> None:
        """Let a command that was started with `keep` go on without us."""
        # otherwise Popen warns that it is lost while it still runs, which is the purpose here
        self._process.returncode = 0

    def _close(self) -> None:
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            pipe.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("a guarded process has pipes")
    return stream


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
