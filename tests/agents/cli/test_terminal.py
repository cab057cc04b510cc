"""A command on a pseudo-terminal: colours, and none with NO_COLOR or in a pipe."""

import os
import pty
import subprocess
import sys

import pytest


def on_terminal(args: list[str], **env: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    primary, secondary = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", *args],
        stdout=secondary,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
        | {"COLUMNS": "80", "TERM": "xterm-256color", **env},
    )
    os.close(secondary)
    said = b""
    try:
        while piece := os.read(primary, 65_536):
            said += piece
    except OSError:
        pass  # the other end is closed: that is how a terminal ends
    finally:
        os.close(primary)
        assert child.wait(timeout=60) == 0
    return said.decode()


@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_states_have_colours_on_a_terminal(env: dict[str, str], coloured: bool) -> None:
    said = on_terminal(["help", "states"], **env)
    assert ("\x1b[32mACTIVE\x1b[0m" in said) is coloured
    assert "ACTIVE" in said


def test_no_colours_in_a_pipe() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "agents.cli", "help", "states"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    assert "ACTIVE" in child.stdout
    assert "\x1b" not in child.stdout
