"""The lines of `emberline status` about the worker and the sweep."""

from typing import Any

from agents.cli.status import sweep_lines, worker_line
from agents.coordinator.rules.sweep_state import RetentionSweep


def worker(**more: Any) -> dict[str, Any]:
    shards = [{"partition": 0, "ready": True, "cursor_lag": 1_500}]
    return {"address": "http://w", "ready": True, "shards": shards, "missing_shards": [], **more}


def test_ready_is_said_of_a_worker_that_can_answer() -> None:
    assert worker_line(worker()) == "worker http://w: ready, 1 shard, 1,500 events behind"
    lost = worker_line(worker(missing_shards=[2, 3]))
    assert "not ready: nobody answers for shards 2, 3" in lost


def test_unknown_is_not_none() -> None:
    shards = [{"partition": 0, "ready": False, "cursor_lag": None}]
    line = worker_line(worker(ready=False, shards=shards))
    assert "not ready: 1 of its shards recovers" in line
    assert "how far behind is not known" in line


def test_the_reason_of_a_missing_answer_is_shown() -> None:
    assert worker_line({"error": "401. Set EMBERLINE_API_KEY"}) == "401. Set EMBERLINE_API_KEY"


def test_a_sweep_that_does_not_go_on_is_shown() -> None:
    assert list(sweep_lines(RetentionSweep())) == []
    (paused,) = sweep_lines(RetentionSweep(paused=True))
    assert "paused" in paused
    assert "emberline resume" in paused
    (asks,) = sweep_lines(RetentionSweep(awaiting=1_200, question="q7"))
    assert "1,200 sources" in asks
    assert "emberline confirm q7" in asks
    (skewed,) = sweep_lines(RetentionSweep(skewed=True))
    assert "clock" in skewed
