"""Seeds of the simulation keep every promise, are the same in every run, and reach what is rare."""

import os

import pytest

from tests.sim.seeds import Summary, command, one, outcomes

SEEDS = int(os.environ.get("SEEDS", "200"))
AGAIN = 4


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_seeds_keep_every_promise_and_are_the_same_in_every_run() -> None:
    summary, seen = Summary(), {}
    for outcome in outcomes(range(SEEDS), jobs=2):
        summary.take(outcome)
        seen[outcome.plan.seed] = outcome.trace, outcome.steps
    failed = [f"{each.error}\n  {command(each.plan)}" for each in summary.failed]
    assert not failed, "\n".join(failed[:5])
    assert not summary.missing
    # many seeds have run before these in their process; now they are its first ones
    for outcome in outcomes(range(SEEDS - 1, SEEDS - 1 - AGAIN, -1), jobs=1):
        again = outcome.trace, outcome.steps
        assert again == seen[outcome.plan.seed], f"two runs differ: {command(outcome.plan)}"


def test_a_plan_can_be_changed_from_the_command_line() -> None:
    outcome = one(3, '{"events":5,"faults":[],"questions":0,"busy_s":5.0,"workers":1}')
    assert not outcome.error
    assert '"events":5' in command(outcome.plan)
