"""The checks of a worker's folder before the start."""

import stat
from pathlib import Path

import pytest

from agents.worker.preflight import LOCK, locked


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_data_folder_is_for_its_owner_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, empty, former, other = (tmp_path / n for n in ("made", "empty", "former", "other"))
    for folder in (empty, former, other):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    (former / LOCK).touch()
    (other / "something").touch()
    for folder in (made, empty, former):
        with locked(folder):
            assert mode(folder) == 0o700
    assert not caplog.records
    # what is somebody's, such as /tmp, keeps its mode
    with locked(other):
        assert mode(other) == 0o755
    assert f"chmod 700 {other}" in caplog.text
