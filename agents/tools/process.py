"""Child processes: any program, measured and ended; and the worker among them."""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agents.http.own_address import local
from schemas.errors import Fatal
from streams.settings import SET, Settings, describe

__all__ = ["COMMAND", "Child", "WorkerProcess", "environment", "environment_of"]

COMMAND = (sys.executable, "-c", "from agents.cli import main; main()")

_TICKS = os.sysconf("SC_CLK_TCK")
_ROOT = Path(__file__).parents[2]  # where the packages lie, installed or in a work tree
_KB = 1024
_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child: this process's without its EMBERLINE_ variables, plus these
    settings.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("EMBERLINE_")}
    paths = [str(_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)} | variables


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a child loads exactly these settings, including secrets."""
    shown = {line.name: line.value for line in describe(settings)}
    secrets = {name: getattr(settings, name) for name in shown if shown[name] == SET}
    return environment(
        **{f"EMBERLINE_{name.upper()}": value for name, value in (shown | secrets).items()}
    )


class Child:
    """A process with its output in a file. A context manager that leaves no process behind.

    `out` is a file for its standard output; without it, standard output goes to `log` too. A child
    with its own session gets no Ctrl-C from the terminal: its starter ends it in the right order. A
    child that dies with its parent ends with the thread that creates it, however that thread ends;
    on Linux only.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        out: Path | None = None,
        *,
        own_session: bool = False,
        dies_with_parent: bool = False,
    ) -> None:
        self.command = list(command)
        self.log = log
        with log.open("ab") as file, (out or log).open("ab" if out is None else "wb") as output:
            self._process = subprocess.Popen(
                self.command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=file,
                start_new_session=own_session,
                preexec_fn=_die_with_parent() if dies_with_parent else None,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it is still running."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise Fatal, with the end of its output, if it has ended with an error."""
        code = self._process.poll()
        if code:
            raise Fatal(
                f"`{' '.join(self.command[1:5])}` ended with code {code}: {self.tail()}",
                remedy=f"Its whole output is in {self.log}",
            )

    def tail(self, characters: int = 2000) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-characters:]

    def cpu(self) -> float:
        """Seconds of CPU it has used, user and system, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak(self) -> int:
        """The peak of its resident memory in bytes."""
        return self._memory("VmHWM:")

    def resident(self) -> int:
        """Its resident memory in bytes, now."""
        return self._memory("VmRSS:")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running():
            self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait for its end; its exit code. Raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)

    def stop(self, seconds: float = 20.0) -> None:
        """End it: by SIGTERM, and by SIGKILL if it still runs after `seconds`."""
        self.send(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Let it run independently: from now on it counts as ended here."""
        # otherwise Popen warns that it is lost while it still runs, which is the purpose here
        self._process.returncode = 0

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def _memory(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * _KB
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()


class WorkerProcess(Child):
    """`emberline worker` with exactly these settings, and `variables` over them.

    `url` is its address: known at once where the settings have a port, else when it is ready.
    """

    quoted = 500
    """So many characters of its log are in an error."""
    command_line: Sequence[str] = COMMAND
    """The program of which `worker` is a command."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        variables: Mapping[str, str] | None = None,
        *,
        own_session: bool = False,
        dies_with_parent: bool = False,
    ) -> None:
        self.url = local(settings) if settings.http_port else ""
        self.facts: dict[str, Any] = {}
        self._announced = log.with_suffix(".ready")
        super().__init__(
            [*self.command_line, "worker", "--json"],
            log,
            environment_of(settings) | dict(variables or {}),
            self._announced,
            own_session=own_session,
            dies_with_parent=dies_with_parent,
        )

    def check(self) -> None:
        """Raise Fatal if it has ended: it runs until it is stopped."""
        code = self._process.poll()
        if code is not None:
            raise self._fatal(f"The worker has ended with code {code}")

    async def ready(self, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until it says that all its shards are; what it says of itself.

        Raises Fatal, with the end of its log, when it ends before, or after so many seconds.
        """
        deadline = time.monotonic() + seconds
        while not (line := self._announced.read_bytes()).endswith(b"\n"):
            self.check()
            if time.monotonic() > deadline:
                raise self._fatal(f"The worker is not ready after {seconds:.0f} s")
            await asyncio.sleep(_POLL_S)
        self.facts = json.loads(line.splitlines()[0])
        while "address" not in self.facts:  # an error: it is about to end
            self.check()
            if time.monotonic() > deadline:
                raise self._fatal(f"The worker says {line[:500]!r} and does not end")
            await asyncio.sleep(_POLL_S)
        address = str(self.facts["address"])
        self.url = address if "://" in address else f"http://{address}"
        return self.facts

    def _fatal(self, what: str) -> Fatal:
        end = f": {self.tail(self.quoted)}" if self.quoted else ""
        return Fatal(f"{what}{end}", remedy=f"See {self.log}")


def _die_with_parent() -> Callable[[], object] | None:
    """What a child does before it becomes its program; None where there is no such thing."""
    if sys.platform != "linux":
        return None
    # found before the fork: little is safe to do after it
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
