"""Every reader of bytes from outside, under damaged input, in processes of their own.

The same inputs each time, and few of them. `make fuzz` makes others for minutes; a failure prints
the least input, and an abort of a native library the last one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.hostile.fuzz.targets import GROUPS

EXAMPLES = 250
SPARE_S = 200.0
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_the_readers_accept_or_refuse_whatever_comes(
    group: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seconds: float = request.config.getoption("--fuzz-seconds")
    last = tmp_path / "last"
    how = ["--examples", str(EXAMPLES)]
    limit = SPARE_S + seconds * len(GROUPS[group])
    if seconds:
        seed = request.config.getoption("--seed")
        how = ["--seconds", str(seconds), "--seed", str(seed)]
        request.node.add_marker(pytest.mark.timeout(limit))
    done = subprocess.run(
        [sys.executable, "-m", "tests.rigs.hostile.fuzz.run", group, *how, "--last", str(last)],
        cwd=ROOT,
        # panics of native libraries are caught: their traces would fill the output
        env={**os.environ, "RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=limit,
    )
    print(done.stdout.strip())
    assert done.returncode == 0, (
        f"it ended with {done.returncode}; the last input was {last.read_text()[:4000]}\n"
        f"{done.stderr[-6000:]}"
    )
