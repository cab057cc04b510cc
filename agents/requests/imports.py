"""Imports that are under way, as `emberline import` tells them: for people who watch.

A worker keeps only what it is told, in memory. An import that says nothing for a while is `lost`:
its process may have died, or may not reach the worker. Entries are forgotten some minutes later.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from streams.clock import Clock

__all__ = ["ImportReport", "ImportState", "Imports"]

SILENT_S = 15.0
"""An import tells its progress each second."""
KEPT_S = 600.0
"""So long an import that has ended, or was lost, is shown."""
MOST = 50


class ImportState(StrEnum):
    """The state of an import. It never says `lost` itself."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """One report: the file now being read, counts of this run, bytes of all files together."""

    state: ImportState
    file: str
    records: int
    bad: int
    done_bytes: int
    total_bytes: int
    per_second: float
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class _Known:
    report: ImportReport
    began: int
    told: int
    heard_s: float


class Imports:
    """The last report of each import, by id. Bounded: the one heard of longest ago is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def tell(self, identity: str, report: ImportReport) -> None:
        """Keep a report."""
        now = self._clock.now_ms()
        before = self._known.pop(identity, None)
        began = now if before is None else before.began
        self._known[identity] = _Known(report, began, now, self._clock.monotonic_s())
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def found(self) -> list[dict[str, Any]]:
        """All that are known, the latest to begin first; times in UTC milliseconds."""
        now = self._clock.monotonic_s()
        self._known = {
            identity: one for identity, one in self._known.items() if now - one.heard_s < KEPT_S
        }
        return [
            {"id": identity, **asdict(_judged(one, now)), "began": one.began, "told": one.told}
            for identity, one in sorted(self._known.items(), key=lambda item: -item[1].began)
        ]


def _judged(one: _Known, now: float) -> ImportReport:
    silent = one.report.state is ImportState.RUNNING and now - one.heard_s > SILENT_S
    return replace(one.report, state=ImportState.LOST) if silent else one.report
