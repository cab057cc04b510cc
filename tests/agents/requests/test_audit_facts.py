"""The facts of the audit are what the coordinator's sentences say: the rules write them here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.reference.decisions import DECISIONS
from agents.requests.audit_facts import audit_facts
from tests.rigs.desk import DAY, MONTH3, START, Desk, of

A, C, S = "campaign:a", "canvas:c", "segment:s"
USES_A = {"filter": "received_from_campaign", "campaign": "a"}
TEXTS = Path(__file__).parents[3] / "agents" / "web" / "page" / "texts" / "en.json"


def facts(desk: Desk, decision: str) -> dict[str, Any]:
    """Those that the last such decision has."""
    audit = [one for one in of(desk.said, "audit") if one["source"] in (A, None)]
    entry = [one for one in audit if one["decision"] == decision][-1]
    return {name: found for name, found in audit_facts(entry).items() if found is not None}


def stopped(desk: Desk) -> None:
    desk.define(A, "STOPPED")


def used(desk: Desk) -> None:
    stopped(desk)
    desk.define(S, "STOPPED", filters=USES_A)
    desk.define(C, "ACTIVE", filters={"filter": "in_segment", "segment": "s"})


def released(desk: Desk) -> None:
    used(desk)
    desk.now += DAY
    desk.define(C, "STOPPED", filters={"filter": "in_segment", "segment": "s"})


def held(desk: Desk) -> None:
    stopped(desk)
    desk.command("hold", A, requested_by="ann", reason="used by nobody (but the court)")


def expired(desk: Desk) -> None:
    desk.expired(A)


def restoring(desk: Desk) -> None:
    expired(desk)
    desk.command("restore", A)


def restored(desk: Desk) -> None:
    restoring(desk)
    desk.finish(A)


def cancelled(desk: Desk) -> None:
    restoring(desk)
    desk.command("cancel", A)


def refused(desk: Desk) -> None:
    stopped(desk)
    desk.command("restore", A)


def resumed(desk: Desk) -> None:
    expired(desk)
    desk.define(A, "ACTIVE")


@pytest.mark.parametrize(
    ("happens", "decision", "found"),
    [
        (stopped, "state", {"since": "stopped", "period": "P3M"}),
        (used, "referenced", {"used_by": C}),
        (used, "state", {"used_by": C}),
        (released, "released", {"used_by": C}),
        (released, "state", {"since": "released", "period": "P3M"}),
        (held, "state", {"held_by": "ann (unverified)"}),
        (held, "hold", {"note": "used by nobody (but the court)"}),
        (expired, "expiring", {"why": "retention"}),
        (expired, "expired", {"why": "retention"}),
        (restoring, "restoring", {"why": "operator"}),
        (restored, "state", {"since": "restored", "period": "P3M"}),
        (cancelled, "expiring", {"why": "cancelled"}),
        (resumed, "restoring", {"why": "resumed"}),
        (refused, "restore_refused", {"refusal": "not_expired"}),
    ],
)
def test_facts_are_what_the_rules_have_decided(
    happens: Callable[[Desk], None], decision: str, found: dict[str, str]
) -> None:
    desk = Desk(segments_are_roots=False)
    happens(desk)
    assert facts(desk, decision) == found


def test_another_due_time_is_a_moment() -> None:
    desk = Desk()
    stopped(desk)
    desk.command("imported", A, reason="history")
    desk.now += DAY
    desk.command("imported", A, reason="history")
    assert facts(desk, "due") == {
        "since": "imported",
        "period": "P3M",
        "due_at": desk.source(A).due_at,
    }
    assert START < facts(desk, "due")["due_at"] - DAY <= START + MONTH3


def test_the_page_has_a_text_for_each_decision_about_a_source() -> None:
    texts = json.loads(TEXTS.read_text())
    everywhere = {"erase", "imported", "report_ignored", "skip"}
    known = {key.removeprefix("source.event.") for key in texts if key.startswith("source.event.")}
    for decision in DECISIONS.keys() - everywhere:
        about_all = decision.startswith("sweep_") or decision.endswith("_refused")
        assert about_all or decision in known, decision
