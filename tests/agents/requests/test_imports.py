"""Imports that are under way, as a worker knows them."""

from dataclasses import replace

from agents.requests.imports import KEPT_S, MOST, SILENT_S, ImportReport, Imports, ImportState
from streams.clock import ManualClock

REPORT = ImportReport(ImportState.RUNNING, "sends.avro", 10, 1, 100, 400, 5.0, 30.0)


def test_an_import_that_says_nothing_is_lost_and_then_forgotten() -> None:
    clock = ManualClock(1_000)
    imports = Imports(clock)
    imports.tell("a", REPORT)
    assert imports.found()[0]["state"] == "running"
    clock.advance(int(SILENT_S * 1000) + 1)
    (found,) = imports.found()
    assert (found["state"], found["began"], found["told"]) == ("lost", 1_000, 1_000)
    imports.tell("a", replace(REPORT, records=20))
    (found,) = imports.found()
    assert (found["state"], found["records"], found["began"]) == ("running", 20, 1_000)
    clock.advance(int(KEPT_S * 1000))
    assert imports.found() == []


def test_one_that_has_ended_stays_so() -> None:
    clock = ManualClock()
    imports = Imports(clock)
    imports.tell("a", replace(REPORT, state=ImportState.FINISHED))
    clock.advance(int(SILENT_S * 1000) * 2)
    assert imports.found()[0]["state"] == "finished"


def test_there_are_never_more_than_so_many() -> None:
    imports = Imports(ManualClock())
    for number in range(MOST + 10):
        imports.tell(str(number), REPORT)
    found = {one["id"] for one in imports.found()}
    assert len(found) == MOST
    assert "9" not in found
