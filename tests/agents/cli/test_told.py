"""What becomes of a request, in words: how far it is, and until when the data is available."""

from typing import Any

import pytest

from agents.cli.told import ToldRequest, available_text, outcome_counts, tally
from schemas.records.lifecycle import Exemption, Hold, SourceState, State
from tests.rigs.screen import screen

NOW = 1_800_000_000_000
DAY = 86_400_000


def result(source: str | None, outcome: str, **more: Any) -> dict[str, Any]:
    facts = {"code": None, "message": "", "done": 0, "total": 0, "time": 1}
    return {"request_id": "r", "source": source, "outcome": outcome, **facts, **more}


def state(source: str, state: State, **more: Any) -> SourceState:
    return SourceState(source, state, 1, **more)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (state("campaign:a", State.STOPPED, due_at=NOW + 90 * DAY), "available until 2027-04-15"),
        (state("campaign:a", State.STOPPED, due_at=NOW + 5_000),
         "available until 2027-01-15 08:00:05Z"),
        (state("campaign:a", State.STOPPED, due_at=NOW - 5_000), "available until the next sweep"),
        (state("campaign:a", State.ACTIVE), "stays available: it is active"),
        (state("campaign:a", State.HELD, held=Hold("ann", "dispute", 1)),
         "stays available: held by ann: dispute"),
        (state("campaign:a", State.EXEMPT, exempt_by=(Exemption("canvas:c", ("segment:s",), "f"),)),
         "stays available: f of canvas:c through segment:s"),
        (state("campaign:a", State.EXPIRED), "not available: `emberline restore` brings it back"),
        (state("campaign:a", State.EXPIRING), "not available: moves to the archive"),
        (state("campaign:a", State.RESTORING), "not available: comes back from the archive"),
        (state("campaign:a", State.STOPPED, legacy_deleted=True),
         "not available: deleted for good"),
    ],
)  # fmt: skip
def test_until_when_or_why(record: SourceState, text: str) -> None:
    assert available_text(record, NOW) == text


def test_until_when_is_exact_for_programs() -> None:
    record = state("campaign:a", State.STOPPED, due_at=NOW + 90 * DAY)
    assert available_text(record) == "available until 2027-04-15 08:00:00Z"


def test_progress_is_in_segments_if_all_tell_theirs_else_in_sources() -> None:
    whole = result(None, "accepted", total=2)
    assert tally({}, whole) == (0, 2, "sources")
    told = {
        "a": result("a", "progress", done=3, total=10),
        "b": result("b", "completed", done=5, total=5),
    }
    assert tally(told, whole) == (8, 15, "segments")
    told["a"] = result("a", "accepted")
    assert tally(told, whole) == (1, 2, "sources")
    # of a large request the coordinator tells how many are over
    assert tally({}, result(None, "progress", done=700, total=10_000)) == (700, 10_000, "sources")


def test_what_is_so_already_is_counted_apart_and_is_not_bad() -> None:
    told = ToldRequest("restore", quiet=True)
    told.take(result("a", "refused", code="not_expired"))
    told.take(result("b", "refused", code="nothing_archived"))
    told.take(result("c", "completed"))
    assert [one["source"] for one in told.bad] == ["b"]
    assert not told.over
    told.take(result(None, "completed"))
    told.take(result(None, "refused", code="invalid_command"))  # another command under the same id
    assert told.over
    counts = {"a": result("a", "refused", code="not_expired"), "c": result("c", "completed")}
    assert outcome_counts(counts) == "1 completed, 1 so already"


@pytest.mark.parametrize("columns", [80, 60])
def test_many_sources_are_told_together_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    shown = screen(monkeypatch, columns)
    told = ToldRequest("restore", quiet=False)
    states = {}
    for number in range(10_000):
        source = f"campaign:{number}"
        told.take(result(source, "completed"))
        states[source] = state(source, State.STOPPED, due_at=NOW + 90 * DAY, name="春 🌸")
    states["campaign:7"] = state("campaign:7", State.ACTIVE)
    told.take(result(None, "completed"))
    told.report(states, NOW)
    assert shown.lines() == [
        "10,000 completed",
        "9,999 are available until 2027-04-15",
        "1 stays available: it is active",
    ]


def test_few_sources_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 80)
    told = ToldRequest("restore", quiet=False)
    told.take(result("campaign:a", "completed"))
    told.take(result("campaign:b", "refused", code="not_expired"))
    due = state("campaign:a", State.STOPPED, due_at=NOW + 90 * DAY, name="春のキャンペーン")
    told.report({"campaign:a": due, "campaign:b": state("campaign:b", State.ACTIVE)}, NOW)
    assert shown.lines() == [
        "name              source      outcome     state    data",
        "春のキャンペーン  campaign:a  completed   STOPPED  available until 2027-04-15",
        "                  campaign:b  so already  ACTIVE   stays available: it is active",
    ]


def test_a_dry_run_says_what_would_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 80)
    told = ToldRequest("hold", quiet=False)
    told.take(result("campaign:a", "completed", message="dry run: will be restored: 7 rows"))
    told.report(
        {"campaign:a": state("campaign:a", State.EXPIRED, name="Spring")}, NOW, dry_run=True
    )
    assert shown.lines() == [
        "name    source      outcome  state    data",
        "Spring  campaign:a  dry run  EXPIRED  will be restored: 7 rows",
    ]


def test_a_dry_run_of_many_sources_says_that_nothing_was_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = screen(monkeypatch, 80)
    told = ToldRequest("restore", quiet=False)
    for number in range(60):
        told.take(result(f"campaign:{number}", "completed", message="dry run: will be restored"))
    told.take(result("campaign:x", "refused", code="not_expired"))
    told.take(result(None, "completed", total=61))
    told.report({}, NOW, dry_run=True)
    assert shown.lines() == ["dry run: 60 would be done, 1 so already"]


def test_sources_without_a_result_of_their_own_are_counted() -> None:
    told = ToldRequest("expire", quiet=True)
    told.take(result(None, "accepted", total=5_000))
    told.take(result("a", "completed"))
    told.take(result("b", "refused", code="invalid_command"))
    assert told.untold == 0, "more results may come"
    told.take(result(None, "completed", total=5_000))
    assert told.untold == 4_998
    alone = ToldRequest("confirm", quiet=True)
    alone.take(result(None, "completed", total=3))
    assert alone.untold == 0, "a request that is not about named sources"


@pytest.mark.parametrize(
    ("outcome", "lines"), [("completed", ["The sweep goes on"]), ("refused", [])]
)
def test_a_request_without_sources_is_a_sentence_and_a_refusal_is_told_once(
    monkeypatch: pytest.MonkeyPatch, outcome: str, lines: list[str]
) -> None:
    shown = screen(monkeypatch, 80)
    told = ToldRequest("resume", quiet=False)
    told.take(result(None, outcome, message="the sweep goes on"))
    told.report({}, NOW)
    assert shown.lines() == lines
