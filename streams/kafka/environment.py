"""What actors run on."""

from dataclasses import dataclass
from random import Random

from streams.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Log
from streams.settings import Settings

__all__ = ["Environment"]

_ID_BITS = 128


@dataclass(frozen=True, slots=True)
class Environment:
    """Settings, logs, time and chance of one deployment: all that its actors know of the world.

    With a simulated log and clock the same actors run in a simulation.
    """

    settings: Settings
    kafka: Log
    clock: Clock = SYSTEM_CLOCK
    random: Random = SYSTEM_RANDOM

    @classmethod
    def of(cls, settings: Settings, clock: Clock = SYSTEM_CLOCK) -> "Environment":
        """The brokers that the settings name."""
        return cls(settings, KafkaLog(settings), clock)

    def new_id(self) -> str:
        """A name that nobody else has, of 32 hex digits: of an owner, of a log's incarnation."""
        return f"{self.random.getrandbits(_ID_BITS):032x}"
