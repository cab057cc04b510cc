"""The environment of actors: settings, logs, clock, randomness and metrics."""

from dataclasses import dataclass, field
from random import Random

from streams.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Log
from streams.metrics.meters import Meters
from streams.settings import Settings

__all__ = ["Environment"]

_ID_BITS = 128


@dataclass(frozen=True, slots=True)
class Environment:
    """Settings, logs, clock and randomness of one deployment: actors use nothing else from outside.
    What they measure goes to `meters`, one object for each worker.

    With a simulated log and clock the same actors run in a simulation.
    """

    settings: Settings
    kafka: Log
    clock: Clock = SYSTEM_CLOCK
    random: Random = SYSTEM_RANDOM
    meters: Meters = field(default_factory=Meters, compare=False)

    @classmethod
    def of(cls, settings: Settings, clock: Clock = SYSTEM_CLOCK) -> "Environment":
        """The brokers that the settings name."""
        return cls(settings, KafkaLog(settings), clock)

    def new_id(self) -> str:
        """A unique name of 32 hex digits: for an owner, or for a log's incarnation."""
        return f"{self.random.getrandbits(_ID_BITS):032x}"
