"""The units of systemd and their file of settings."""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from streams.settings import load
from tests.rigs.deployment import DEPLOY, check_settings, has_command

FOLDER = DEPLOY / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/emberline/bin/emberline"
MOST_EXPOSED = 2.0
systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: Linux with systemd"
)


def entries(unit: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found[name].append(value)
    return found


def variables(lines: list[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def installed(unit: Path, folder: Path) -> Path:
    """The unit with the program of this environment, as systemd looks for the program."""
    program = Path(sys.executable).with_name("emberline")
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace(PROGRAM, str(program)))
    return copy


@systemd
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    copies = [installed(unit, tmp_path) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert (done.returncode, said) == (0, []), done.stderr


@systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_may_do_little(unit: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", installed(unit, tmp_path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd before 250 looks at running units only")
    level = re.search(r"exposure level for \S+: (\d+\.\d)", done.stdout)
    assert level, done.stderr
    assert float(level[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_a_command_of_the_program_with_settings_that_exist(unit: Path) -> None:
    found = entries(unit)
    (command,) = found["ExecStart"]
    program, *words = command.split()
    assert program == PROGRAM
    assert has_command(words)
    check_settings(variables(found["Environment"]) | {"EMBERLINE_GROUP_INSTANCE_ID": "host"})
    assert "/etc/emberline/emberline.env" in found["EnvironmentFile"]
    assert found["User"] == found["Group"] == ["emberline"]
    (folder,) = found["WorkingDirectory"]
    assert folder == f"/var/lib/{found['StateDirectory'][0]}"
    assert variables(found["Environment"])["EMBERLINE_DATA_DIR"] == folder


def test_the_example_has_settings_that_a_worker_takes_and_no_secret() -> None:
    given = variables((FOLDER / "emberline.env").read_text().splitlines())
    settings = load(env=check_settings(given), file=Path("none"))
    assert settings.require_keys
    assert settings.replication_factor == 3
    assert not [n for n in given if re.search("PASSWORD$|SECRET$|TOKEN$|API_KEY$", n)]


def test_a_worker_that_failed_starts_again_unless_its_settings_are_wrong() -> None:
    found = entries(FOLDER / "emberline.service")
    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["2"]
    assert found["StartLimitIntervalSec"] == ["0"]
