"""Whether a former version reads what this one writes: for a downgrade within a minor release.

    python -m tests.rigs.upgrade.downgrade COMMIT

COMMIT is that of the former version, such as its tag. A worker of this tree writes a history
(`tests/rigs/upgrade/record.py`), and the tests of COMMIT, with its programs, read the files as
those of one more release: logs, stores, answers, and a worker that takes over.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from streams.devbroker.broker import LocalBroker
from tests.rigs.upgrade.record import record

__all__ = ["tried"]

ROOT = Path(__file__).parents[3]
LATER = "later"
"""The name of the release that COMMIT finds: the last one, so its tests take it for the newest."""
TESTS = ("tests/test_releases.py", "tests/agents/worker/test_upgrade.py")
_TRIED_S = 900


def tried(commit: str) -> int:
    """The exit code of the tests of `commit`; 0 if it reads everything.

    Raises CalledProcessError if there is no such commit.
    """
    found = subprocess.run(
        ["git", "-C", ROOT, "archive", "--format=tar", commit], capture_output=True, check=True
    )
    with tempfile.TemporaryDirectory(prefix="emberline-downgrade-") as name:
        scratch = Path(name)
        written, former = scratch / LATER, scratch / "former"
        with tarfile.open(fileobj=BytesIO(found.stdout)) as opened:
            opened.extractall(former, filter="data")
        written.mkdir()
        with LocalBroker(scratch / "broker", say=print) as broker:
            print("this tree writes", flush=True)
            asyncio.run(record(ROOT, broker.bootstrap_servers, written))
            shutil.copytree(written, former / "tests" / "releases" / LATER)
            print(f"{commit} reads", flush=True)
            return subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS,
                 # its own numbers of formats are those of its own release
                 "-k", f"{LATER} or newest_files or newer"],
                cwd=former,
                env={k: v for k, v in os.environ.items() if not k.startswith("EMBERLINE_")}
                | {"PYTHONPATH": str(former), "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers},
                timeout=_TRIED_S,
                check=False,
            ).returncode  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.rigs.upgrade.downgrade COMMIT")
    sys.exit(tried(sys.argv[1]))
