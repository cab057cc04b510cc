"""A seeded operator: stops sources, starts them again, restores them."""

import asyncio
import time
from collections import Counter
from random import Random

from agents.tools.operator_requests import command
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from tests.rigs.faults.harness import Cluster, define

__all__ = ["Operator"]


class Operator:
    """Acts on one source at a time, by what its lifecycle record says at that moment."""

    def __init__(self, cluster: Cluster, sources: list[str], seed: int) -> None:
        self.actions: Counter[str] = Counter()
        self._cluster = cluster
        self._sources = sources
        self._rng = Random(f"operator {seed}")
        self._updates = int(time.time() * 1000)

    async def run(self, pause_s: float) -> None:
        """Act until cancelled."""
        while True:
            states = await self._cluster.states()
            source = self._rng.choice(self._sources)
            state = states.get(source, {}).get("state")
            if state == "ACTIVE":
                await self.define(source, "STOPPED")
            elif state == "EXPIRED" and self._rng.random() < 0.6:
                await self._restore(source)
            elif state in ("EXPIRED", "EXPIRING", "RESTORING") and self._rng.random() < 0.3:
                await self.define(source, "ACTIVE")
            await asyncio.sleep(pause_s)

    async def define(self, source: str, status: str) -> None:
        """Write the source's definition."""
        self._updates += 1
        self.actions[status] += 1
        await define(self._cluster.settings, source, status, self._updates)

    async def _restore(self, source: str) -> None:
        self.actions["restore"] += 1
        number = f"{source}-{self.actions['restore']}"
        record = command("restore", (source,), request_id=number)
        value = codec.encode("command", record)
        await publish(self._cluster.settings, [Chunk("control", [number.encode()], [value])])
