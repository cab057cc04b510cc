"""`log.Log` on a simulated cluster.

    async def main(loop: SimLoop) -> None:
        cluster = Cluster(SimClock(loop), loop.stream("cluster"), latency_s=0.005)
        clock = SimClock(loop, offset_ms=-300)
        kafka = SimLog(cluster, settings, loop.stream("worker 1"), clock)
        environment = Environment(settings, kafka, clock, loop.stream("worker 1 ids"))
        await kafka.admin.create()
        loop.start("worker 1", run_actors(environment))
        cluster.produce(("t.interactions.send", 0), [Entry(b"user", b"{...}", clock.now_ms())])
        ...
        loop.kill("worker 1")

    simulate(seed, main)

One cluster belongs to all workers; each worker has a `SimLog` with its own clock and chance.
"""

from collections.abc import Mapping
from random import Random

from streams.clock import SYSTEM_CLOCK, Clock
from streams.kafka.log import (
    DEFAULT_OPTIONS,
    LogAdmin,
    LogAppender,
    LogReader,
    LogWriter,
    Partition,
    ReaderOptions,
)
from streams.period import seconds
from streams.settings import Settings
from tests.sim.log.admin import SimAdmin
from tests.sim.log.appender import SimAppender
from tests.sim.log.cluster import Cluster
from tests.sim.log.reader import SimFetcher
from tests.sim.log.writer import SimWriter

__all__ = ["SimLog"]


class SimLog:
    """The logs of a cluster as one worker sees them, with the worker's clock and chance."""

    def __init__(
        self, cluster: Cluster, settings: Settings, random: Random, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._random = random
        self._clock = clock
        self._admin = SimAdmin(cluster, settings)

    @property
    def address(self) -> str:
        """Of no host."""
        return "simulated"

    @property
    def admin(self) -> LogAdmin:
        """Of the cluster."""
        return self._admin

    def reader(
        self, cursor: Mapping[Partition, int], options: ReaderOptions = DEFAULT_OPTIONS
    ) -> LogReader:
        """The product's fetcher, with simulated connections."""
        reader = SimFetcher(self._settings, cursor, options, clock=self._clock, random=self._random)
        reader.cluster = self._cluster
        return reader

    def writer(self, transactional_id: str) -> LogWriter:
        """A writer under this id."""
        timeout_s = seconds(self._settings.transaction_timeout)
        return SimWriter(self._cluster, transactional_id, timeout_s, self._clock)

    def appender(self, name: str = "appender") -> LogAppender:
        """A producer of its own."""
        return SimAppender(self._cluster, self._clock)
