"""Reads from outside while workers die: no answer that looks complete may lack rows."""

import asyncio
from collections import Counter
from random import Random

import aiohttp

from agents.tools.oracle import Interactions
from tests.rigs.faults.harness import Cluster, Partial, difference

__all__ = ["Observer"]

TIMEOUT = aiohttp.ClientTimeout(total=20)
REFUSALS = {0, 404, 409, 503}
"""No answer, not known yet, hidden, and not all shards there."""


class Observer:
    """Reads source after source from a worker chosen by seed, and compares with earlier answers.

    Rows never disappear: a complete answer has every row of the complete answer before it, with
    spans that are at least as wide. `violations` lists the errors, `answers` counts HTTP statuses
    (0: none).
    """

    def __init__(self, cluster: Cluster, sources: list[str], seed: int) -> None:
        self.violations: list[str] = []
        self.answers: Counter[int] = Counter()
        self._cluster = cluster
        self._sources = sources
        self._rng = Random(f"observer {seed}")
        self._known: dict[str, Interactions] = {}

    async def run(self, pause_s: float) -> None:
        """Look until cancelled."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            while True:
                await self._look(session, self._rng.choice(self._sources))
                await asyncio.sleep(pause_s)

    async def _look(self, session: aiohttp.ClientSession, source: str) -> None:
        slot = self._rng.choice(self._cluster.slots)
        try:
            found = await self._cluster.rows(session, source, slot)
        except Partial as partial:
            self.answers[partial.status] += 1
            if partial.status not in REFUSALS:
                self.violations.append(f"{source}: {partial}")
            return
        self.answers[200] += 1
        before = self._known.get(source, {})
        for key, (first, last) in before.items():
            span = found.get(key)
            if span is None or span[0] > first or span[1] < last:
                self.violations.append(f"{source}: {difference(found, before)}")
                break
        self._known[source] = found
