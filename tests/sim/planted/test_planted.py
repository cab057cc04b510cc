"""The simulation finds each planted fault within the number of seeds that is promised for it."""

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
