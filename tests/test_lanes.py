"""Two runs take every file once between them, from both ends of one order."""

import random
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


def test_a_run_that_shares_runs_the_rest_and_fails_for_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "test_one.py").write_text("def test_1(): pass\ndef test_2(): pass\n")
    (folder / "test_two.py").write_text("def test_3(): assert False\n")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "tests+test_two.py").touch()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, f"--share={taken}", f"--rootdir={tmp_path}", str(folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "2 passed, 1 deselected" in first.stdout
    (taken / "tests+test_two.py").unlink()
    second = run()
    assert second.returncode == 1, second.stdout + second.stderr
    assert "1 failed, 2 deselected" in second.stdout
