"""What a command does when nobody takes its output: a message where one can be written, the right
exit code, no traceback.
"""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

FULL = "/dev/full"
NO_SPACE = "cannot be written: No space left on device"
CLOSED = "cannot be written: it is closed"


def ended(*args: str, out: str = "", err: str = "", **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command. `out` and `err`: the file in the place of these
    streams, `closed`, or `pipe` for one that nobody reads; else they are read.
    """
    with ExitStack() as stack:
        given: dict[str, int] = {}
        closed: list[int] = []
        for at, (name, where) in enumerate((("stdout", out), ("stderr", err)), 1):
            given[name] = subprocess.PIPE
            if where == "pipe":
                reading, given[name] = os.pipe()
                os.close(reading)
                stack.callback(os.close, given[name])
            elif where == "closed":
                closed.append(at)
            elif where:
                given[name] = stack.enter_context(open(where, "wb")).fileno()
        code = "".join(f"import os; os.close({at})\n" for at in closed)
        command = [sys.executable, "-c", f"{code}import os, sys\nos.execv(sys.executable, {{}})"]
        command[-1] = command[-1].format([sys.executable, "-m", "agents.cli", *args])
        found = subprocess.run(
            command if closed else [sys.executable, "-m", "agents.cli", *args],
            **given,  # type: ignore[call-overload]
            env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
            timeout=60,
            check=False,
        )
        said = found.stdout or b"", found.stderr or b""
        return found.returncode, said[0].decode(), said[1].decode()


@pytest.mark.parametrize(
    ("args", "out", "code", "said"),
    [
        # an error with JSON: its own message and code
        (("statsu", "--json"), "pipe", 2, "There is no command 'statsu'"),
        (("statsu", "--json"), FULL, 2, "There is no command 'statsu'"),
        (("statsu", "--json"), "closed", 2, "There is no command 'statsu'"),
        # an answer: what reads a pipe may leave, anything else loses what was asked for
        (("settings", "--json"), "pipe", 1, ""),
        (("settings", "--json"), FULL, 1, NO_SPACE),
        (("settings",), "closed", 1, CLOSED),
        (("--help",), FULL, 1, NO_SPACE),
        ((), FULL, 1, NO_SPACE),
        ((), "pipe", 1, ""),
    ],
)
def test_output_that_nobody_takes_is_told_in_one_line(
    args: tuple[str, ...], out: str, code: int, said: str
) -> None:
    found, _, err = ended(*args, out=out)
    assert found == code
    assert said in err
    assert err.count("\n") == bool(said), err


@pytest.mark.parametrize("err", ["pipe", FULL, "closed"])
def test_a_message_that_nobody_takes_changes_no_exit_code(err: str) -> None:
    code, out, _ = ended("statsu", "--json", err=err)
    assert code == 2
    assert '"exit_code": 2' in out
    assert ended("statsu", out=err, err=err, PYTHONUNBUFFERED="1")[0] == 2


def test_a_stream_that_is_its_own_file_loses_output_as_one_with_a_buffer_does() -> None:
    code, _, err = ended("version", out=FULL, PYTHONUNBUFFERED="1")
    assert code == 1
    assert NO_SPACE in err
