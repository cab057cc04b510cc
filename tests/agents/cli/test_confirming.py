"""`emberline confirm` takes the beginning of an ID, or shows what it is about to confirm."""

import pytest

from agents.cli.confirming import asking_sources, whole_id
from agents.coordinator.rules.sweep_state import RetentionSweep
from schemas.errors import Recoverable
from schemas.records.lifecycle import SourceState, State

SWEEP = RetentionSweep(awaiting=2, question="3f9a0c27be11", approved_to=(2_000, "campaign:b"))


@pytest.mark.parametrize("given", ["3f9a", "3F9A0c", "3f9a0c27be11"])
def test_four_characters_of_the_id_are_enough(given: str) -> None:
    assert whole_id(given, SWEEP) == SWEEP.question


@pytest.mark.parametrize("given", ["3f9", "", "9a0c", "3f9a0c27be110"])
def test_what_is_no_beginning_goes_to_the_coordinator_unchanged(given: str) -> None:
    assert whole_id(given, SWEEP) == given


def test_nothing_is_taken_for_an_id_where_no_sweep_asks() -> None:
    assert whole_id("3f9a", RetentionSweep()) == "3f9a"


def source(name: str, due_at: int | None, state: State = State.STOPPED) -> SourceState:
    return SourceState(f"campaign:{name}", state, 1, due_at=due_at)


def test_the_sources_shown_are_those_that_the_sweep_asked_about() -> None:
    states = [
        source("b", 2_000), source("a", 1_000), source("later", 2_001), source("c", 2_000),
        source("held", 500, State.HELD), source("on", None, State.ACTIVE),
    ]  # fmt: skip
    assert [one.source for one in asking_sources(states, SWEEP)] == ["campaign:a", "campaign:b"]


def test_sources_that_change_meanwhile_are_not_shown_as_those_asked_about() -> None:
    with pytest.raises(Recoverable, match="are changing"):
        asking_sources([source("a", 1_000)], SWEEP)
