"""An explanation predicts what the coordinator does: the test makes each change and compares."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.coordinator.rules import explain as rules
from agents.coordinator.rules.as_if import AsIf
from agents.coordinator.rules.explain import Explanation, explain
from agents.coordinator.rules.quarantine import readable_uses
from agents.coordinator.rules.wording import Outlook
from agents.filters.references import Use
from schemas.errors import UsageError
from schemas.records.lifecycle import Definition, Phase, State
from tests.rigs.desk import DAY, Desk

A, C, D, S, T = "campaign:a", "canvas:c", "canvas:d", "segment:s", "segment:t"
USES_A = {"filter": "received_from_campaign", "campaign": "a", "has": False}
IN_S = {"filter": "in_segment", "segment": "s"}
IN_T = {"filter": "in_segment", "segment": "t"}


def told(desk: Desk, source: str = A, as_if: AsIf | None = None) -> Explanation:
    record = desk.source(source).shown()
    return explain(record, desk.state.catalog, desk.policy, desk.now, as_if)


def exempt() -> Desk:
    """A is stopped, and used by C through S."""
    desk = Desk(segments_are_roots=False)
    desk.define(A, "STOPPED")
    desk.define(S, "ACTIVE", filters=USES_A)
    desk.define(C, "ACTIVE", filters={"and": [IN_S]})
    desk.now += 10 * DAY
    return desk


def test_the_chain_and_the_day_after_the_last_use() -> None:
    found = told(exempt())
    assert found.summary == (
        "hot because segment:s <- canvas:c (active); "
        "if canvas:c stopped today it would expire on 2024-02-24"
    )
    (reason,) = found.reasons
    assert [(link.definition, link.path, link.target) for link in reason.links] == [
        (C, "$.filters.and[0]", S),
        (S, "$.filters", A),
    ]


def test_one_of_two_users_that_stops_changes_nothing_yet() -> None:
    desk = exempt()
    desk.define(D, "ACTIVE", references=(A,))
    found = told(desk)
    assert found.summary == (
        "hot because canvas:d (active); if canvas:d stopped today it would stay hot because "
        "segment:s <- canvas:c (active); if all that use it stopped today it would expire on "
        "2024-02-24"
    )
    assert found.reasons[0].links[0].path == "$.references[0]"


def stops(desk: Desk, key: str) -> None:
    definition = desk.state.catalog[key]
    facts = {name: getattr(definition, name) for name in ("filters", "references", "tags", "name")}
    desk.define(key, "STOPPED", **facts)


def _unhold(desk: Desk) -> None:
    desk.command("unhold", A)


def _restore(desk: Desk) -> None:
    desk.command("restore", A)
    desk.finish(A)


def _active(desk: Desk) -> None:
    desk.define(A)


def _stopped_hold(desk: Desk) -> None:
    desk.define(A, "STOPPED")
    desk.command("hold", A, requested_by="ann", reason="court")


def _unknown(desk: Desk) -> None:
    desk.report(A, 0, phase=Phase.SEEN)


def _expired(desk: Desk) -> None:
    desk.expired(A)


def _expired_and_used(desk: Desk) -> None:
    desk.expired(A)
    desk.define(C, "ACTIVE", filters=USES_A)


def _restoring(desk: Desk) -> None:
    desk.expired(A)
    desk.command("restore", A)


def _used(desk: Desk) -> None:
    desk.define(A, "STOPPED")
    desk.define(C, "ACTIVE", filters=USES_A)


@pytest.mark.parametrize(
    ("begin", "then", "why"),
    [
        (_active, lambda desk: stops(desk, A), "hot because it is active"),
        (_stopped_hold, _unhold, "hot because ann (unverified) holds it: court"),
        (_unknown, lambda desk: desk.define(A, "STOPPED"), "nothing expires by accident"),
        (_expired, _restore, "`emberline restore campaign:a` brings it back"),
        (_expired_and_used, _restore, "filters that use it are refused: canvas:c (active)"),
        (_restoring, lambda desk: desk.finish(A), "being moved back"),
        (_used, lambda desk: stops(desk, C), "hot because canvas:c (active)"),
    ],
)
def test_every_if_is_what_the_coordinator_does(
    begin: Callable[[Desk], None], then: Callable[[Desk], None], why: str
) -> None:
    desk = Desk()
    begin(desk)
    desk.now += 3 * DAY
    before = desk.state
    found = told(desk)
    assert desk.state == before
    assert why in found.summary
    (change,) = found.changes
    then(desk)
    assert change.then == Outlook.of(desk.source(A))
    assert f"if {change.change} it " in found.summary


def test_states_in_which_nothing_is_to_be_done() -> None:
    desk = Desk()
    desk.define(A, "STOPPED", name="x")
    found = told(desk)
    assert found.changes == ()
    assert found.summary.startswith("hot until 2024-02-14 (stopped, then P3M): nothing active")
    desk.command("expire", A)
    assert desk.source(A).state is State.EXPIRING
    assert told(desk).summary.startswith("hidden: its data is being moved to the archive")
    desk.finish(A)
    desk.define(A, "STOPPED", legacy_deleted=True)
    found = told(desk)
    assert found.changes == ()
    assert found.summary == "deleted for good under the older policy: nothing brings it back"


def test_due_already_and_due_within_the_day() -> None:
    desk = exempt()
    record = replace(desk.source(A).shown(), state=State.STOPPED, exempt_by=(), due_at=desk.now - 1)
    found = explain(record, {}, desk.policy, desk.now)
    assert "it expires at the next sweep" in found.summary
    soon = replace(record, due_at=desk.now + 1_000)
    assert "hot until 2023-11-24T22:13:21Z" in explain(soon, {}, desk.policy, desk.now).summary


def test_as_if_filters_were_removed() -> None:
    desk = exempt()
    desk.define(C, "ACTIVE", filters={"or": [IN_S, USES_A]})

    def then(*removed: str, stopped: tuple[str, ...] = ()) -> Outlook:
        found = told(desk, as_if=AsIf(stopped, removed)).as_if
        assert found is not None
        return found.then

    assert then(f"{C}@$.filters.or[1]").exempt_by[0].through == (S,)
    assert then(f"{C}@$.filters.or[0]").exempt_by[0].through == ()
    assert then(f"{C}@$.filters.or[0]", f"{C}@$.filters.or[1]").state is State.STOPPED
    assert then(C).state is State.STOPPED
    assert then(stopped=(C,)).state is State.STOPPED
    assert then(S, f"{C}@$.filters.or[1]").state is State.STOPPED
    assert told(desk).as_if is None
    for wrong in (AsIf((D,)), AsIf((), (D,)), AsIf((), (f"{C}@$.filters.or[7]",))):
        with pytest.raises(UsageError):
            told(desk, as_if=wrong)


def test_only_filters_that_may_name_the_source_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(segments_are_roots=False)
    desk.define(A, "STOPPED")
    for n in range(50):
        desk.define(f"canvas:other-{n}", "ACTIVE", filters={"filter": "in_segment", "segment": "x"})
    escaped = '{"filter": "received_from_campaign", "campaign": "\\u0061"}'
    desk.define("segment:far", "ACTIVE", filters=escaped)
    desk.define(S, "ACTIVE", filters={"filter": "in_segment", "segment": "far"})
    desk.define(C, "ACTIVE", filters=IN_S)
    read: list[str] = []

    def counted(definition: Definition) -> tuple[Use, ...]:
        read.append(definition.key)
        return readable_uses(definition)

    monkeypatch.setattr(rules, "readable_uses", counted)
    (reason,) = told(desk).reasons
    assert (reason.exemption.root, reason.exemption.through) == (C, (S, "segment:far"))
    assert set(read) == {A, C, S, "segment:far"}


def test_changes_have_codes_and_the_definitions_that_change() -> None:
    desk = exempt()
    desk.define(D, "ACTIVE", references=(A,))
    found = told(desk, as_if=AsIf((C, D))).facts(desk.now)
    changes = [(one["code"], one["definitions"]) for one in found["changes"]]
    assert changes == [("stopped", [D]), ("stopped", [C]), ("all_stopped", [])]
    assert found["as_if"]["definitions"] == [C, D]
    assert found["as_if"]["due_from"] == {"since": "released", "period": "P3M"}
    assert found["names"].keys() >= {A, C, D, S}
    assert found["due_from"] is None


def test_facts_are_json() -> None:
    facts = told(exempt(), as_if=AsIf((C,))).facts(1)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["reasons"][0]["through"] == [S]


definitions = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ACTIVE", "STOPPED", "DRAFT"]),
        "filters": st.sampled_from([None, USES_A, IN_S, IN_T, {"or": [IN_S, {"not": USES_A}]}]),
    }
)
catalogs = st.fixed_dictionaries(dict.fromkeys((A, C, D, S, T), definitions))


@given(catalogs, st.sampled_from([C, D, S, T, A]), st.booleans())
def test_as_if_stopped_is_what_stopping_does(
    catalog: dict[str, dict[str, Any]], key: str, segments_are_roots: bool
) -> None:
    desk = Desk(segments_are_roots=segments_are_roots)
    for name, facts in catalog.items():
        desk.define(name, **facts)
    desk.now += 7 * DAY
    found = told(desk, as_if=AsIf((key,))).as_if
    stops(desk, key)
    assert found is not None
    assert found.then == Outlook.of(desk.source(A))
