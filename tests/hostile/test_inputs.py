"""Thousands of hostile inputs, each kind in a separate process: no crash, no endless loop, bounded
size.

`pytest tests/hostile --hostile N` makes N of them. A failure names the kind and the seed; the same
seed makes the same inputs.
"""

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.rigs.hostile.takers import TAKERS

SLICE = 2_000
SECONDS = 240.0
GROWTH_MB = 400
"""Memory that a process may gain: inputs of a few kB each leave nothing behind."""


def take(kind: str, seed: int, count: int) -> tuple[int, int]:
    """In the child: how many inputs were taken, and how many MB the process has grown by."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = TAKERS[kind](seed, count)
    return taken, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


@pytest.mark.parametrize("kind", sorted(TAKERS))
def test_every_input_is_accepted_or_rejected(kind: str, request: pytest.FixtureRequest) -> None:
    wanted = max(1, request.config.getoption("--hostile") // len(TAKERS))
    taken, seed = 0, 0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        while taken < wanted:
            # an abort of a native library breaks the pool, and so fails here
            try:
                done, grown = pool.submit(take, kind, seed, min(SLICE, wanted)).result(SECONDS)
            except Exception as error:
                error.add_note(f"{kind}, seed {seed}")
                raise
            assert grown < GROWTH_MB, f"{kind}, seed {seed}: the process grew by {grown} MB"
            taken, seed = taken + done, seed + 1
