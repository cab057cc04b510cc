"""The conformance suite runs on simulated logs in several simulated event loops as well."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from tests.sim.loop import SimLoop

SUITE = "test_log_conformance"
SEEDS = 3
#: Real time, and histories of a simulation.
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "real": asyncio.new_event_loop,
    **{f"seed{seed}": partial(SimLoop, seed) for seed in range(SEEDS)},
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One event loop for each test, but for the suite."""
    return LOOPS if item.path.stem == SUITE else {"real": LOOPS["real"]}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Real brokers answer in real time only."""
    wrong = [
        item
        for item in items
        if item.path.stem == SUITE and "brokers" in item.name and "real" not in item.name
    ]
    if wrong:
        config.hook.pytest_deselected(items=wrong)
        items[:] = [item for item in items if item not in wrong]
