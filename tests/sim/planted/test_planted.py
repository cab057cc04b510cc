"""The simulation finds each planted fault within the number of seeds that is promised for it."""

from pathlib import Path

import pytest

from tests.sim.planted.faults import PLANTED
from tests.sim.seeds import outcomes


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    fault = PLANTED[name]
    seeds = range(fault.first, fault.first + fault.found)
    found = outcomes(seeds, 2, fault.plan, name)
    assert any(outcome.error for outcome in found), f"{len(seeds)} seeds do not find it"
    found.close()


def test_each_is_in_the_table_of_guarantees() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guarantees.md").read_text()
    for name, fault in PLANTED.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert row.endswith(f"| {fault.found} |"), name
        assert fault.mended in row, name
