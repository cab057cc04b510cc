"""Two runs take every file once between them, from both ends of one order."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.lanes import Lane, in_order

ROOT = Path(__file__).parent.parent
FILES = ["tests/test_a.py", "tests/faults/test_k.py", "tests/sim/test_s.py", "tests/b/test_b.py",
         "tests/agents/web/test_page_x.py", "tests/agents/web/test_web.py"]  # fmt: skip


def test_what_waits_is_at_the_back_and_the_longest_at_the_front() -> None:
    order = in_order(FILES)
    assert (order[0], order[-1]) == ("tests/sim/test_s.py", "tests/faults/test_k.py")
    assert order[-2] == "tests/agents/web/test_page_x.py"
    assert in_order(reversed(FILES)) == order


@pytest.mark.parametrize("seed", range(20))
def test_each_file_is_taken_once_however_fast_either_is(seed: int, tmp_path: Path) -> None:
    front, back = (Lane(tmp_path, from_back=each).files(FILES) for each in (False, True))
    rng = random.Random(seed)
    taken: tuple[list[str], list[str]] = ([], [])
    while len(taken[0]) + len(taken[1]) < len(FILES):
        number = rng.randrange(2)
        taken[number].append(next((front, back)[number]))
    assert (next(front, None), next(back, None)) == (None, None)
    assert [*taken[0], *reversed(taken[1])] == in_order(FILES)


def test_both_runs_of_make_test_run_everything_between_them(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/test", tmp_path / ".ci/test")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\ntestpaths = ["tests"]\naddopts = ["--import-mode=importlib"]\n'
    )
    folder = tmp_path / "tests"
    folder.mkdir()
    shutil.copy(ROOT / "tests/conftest.py", folder)
    (folder / "rigs").symlink_to(ROOT / "tests/rigs")
    for number in range(6):
        (folder / f"test_{number}.py").write_text("def test_a(): pass\ndef test_b(): pass\n")

    (folder / "test_3.py").write_text("def test_a(): assert False\ndef test_b(): pass\n")
    done = subprocess.run(
        [str(tmp_path / ".ci/test"), str(Path(sys.executable).parent / "pytest")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    passed = sum(map(int, re.findall(r"(\d+) passed", done.stdout)))
    assert (done.returncode, passed) == (1, 11), done.stdout + done.stderr
    assert "1 failed" in done.stdout
