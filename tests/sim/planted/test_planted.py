"""The simulation finds each planted fault within the number of seeds that is promised for it.

The seed that is known to find it runs first: it is one of those, so that one run shows the promise.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.sim.planted.faults import PLANTED
from tests.sim.seeds import one, processes


@pytest.fixture(scope="module")
def runs() -> Iterator[ProcessPoolExecutor]:
    """One process for all runs: to import the product takes longer than one of them."""
    with processes(1) as pool:
        yield pool


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str, runs: ProcessPoolExecutor) -> None:
    fault = PLANTED[name]
    promised = range(fault.found)
    assert fault.seed in promised
    seeds = sorted(promised, key=lambda seed: seed != fault.seed)
    found = (runs.submit(one, seed, fault.plan, name).result() for seed in seeds)
    assert any(outcome.error for outcome in found), f"{len(seeds)} seeds do not find it"


def test_each_is_in_the_table_of_guarantees() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guarantees.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for name, fault in PLANTED.items():
        (row,) = [row for row in rows if row.startswith(f"| {name} |")]
        assert row.endswith(f" | {fault.seed} | {fault.found} |"), name
        assert fault.what in row, name
        assert fault.mended in row, name
