"""`python -m tests.sim`: a failing seed is made smaller and can be repeated; a profile is shown."""

import logging
import shlex
from collections.abc import Iterator

import pytest

from tests.sim.__main__ import main
from tests.sim.seeds import environment

SMALL = '{"workers":1,"partitions":1,"events":100,"questions":0,"busy_s":20.0,"faults":["crash"]}'


@pytest.fixture(autouse=True)
def as_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    yield
    logging.disable(logging.NOTSET)


def told(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The exit code of the command, and what it says."""
    monkeypatch.setattr("sys.argv", ["tests.sim", *arguments])
    code = main()
    return code, capsys.readouterr().out


def test_a_failing_seed_is_made_smaller_and_its_command_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many = ["--seeds", "0:4", "--jobs", "1", "--plan", SMALL, "--shrink-s", "1"]
    code, said = told([*many, "--planted", "event ids forgotten"], monkeypatch, capsys)
    assert code == 1
    assert "4 seeds in" in said
    assert "is made smaller ..." in said
    *_, smallest = [line for line in said.splitlines() if "python -m tests.sim --seed" in line]
    python, _, _, *again = shlex.split(smallest)
    assert python == "python"
    code, said = told([*again, "--quiet"], monkeypatch, capsys)
    assert code == 1
    assert "Violation" in said


def test_a_profile_shows_where_the_time_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = told(["--profile", "--seed", "0", "--plan", SMALL], monkeypatch, capsys)
    assert code == 0
    assert "Ordered by: internal time" in said
    assert "Ordered by: cumulative time" in said
    assert "loop.py" in said
