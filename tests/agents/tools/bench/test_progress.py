"""Another mapping of the same file reads the progress while it is written."""

import time
from pathlib import Path

from agents.tools.bench.peers.progress import Progress


def test_no_progress_reads_as_nothing(tmp_path: Path) -> None:
    assert Progress(tmp_path / "progress").read() == (0, 0.0, 0.0)


def test_the_parent_sees_the_progress_of_the_process(tmp_path: Path) -> None:
    told, seen = Progress(tmp_path / "progress"), Progress(tmp_path / "progress")
    before = time.monotonic()
    told.add()
    told.add(5)
    reading = seen.read()
    assert reading.events == 6
    assert before <= reading.first <= reading.last <= time.monotonic()


def test_the_clock_can_be_started_before_the_first_event(tmp_path: Path) -> None:
    told = Progress(tmp_path / "progress")
    told.begin()
    begun = time.monotonic()
    told.add()
    assert told.read().first <= begun
