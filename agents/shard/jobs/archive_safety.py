"""Asks the broker whether the archive keeps what moves to it, before hot data goes.

The coordinator lets nothing begin to expire while it would not, but the topic may be altered when a
source is already expiring.
"""

from schemas.errors import Recoverable
from streams.clock import Clock
from streams.kafka.environment import Environment
from streams.kafka.topic_specs import Topics, archive_fault, compare, specs

__all__ = ["ArchiveSafety", "ArchiveUnsafe"]

#: For so long an answer counts.
_FRESH_S = 2.0


class ArchiveUnsafe(Recoverable):
    """The archive would lose what moves to it, or that cannot be found out."""


class ArchiveSafety:
    """The settings of one deployment's archive topic, as of a moment ago."""

    def __init__(self, environment: Environment) -> None:
        self._settings = environment.settings
        self._admin = environment.kafka.admin
        self._clock: Clock = environment.clock
        self._asked_at = -_FRESH_S

    async def check(self) -> None:
        """Raises `ArchiveUnsafe` unless the archive keeps what it has for ever."""
        now = self._clock.monotonic_s()
        if now < self._asked_at + _FRESH_S:
            return
        archive = Topics(self._settings.prefix).archive
        try:
            configs = (await self._admin.configs([archive])).get(archive, {})
        except Recoverable as error:
            raise ArchiveUnsafe(
                f"the settings of topic {archive} cannot be read: {error.message}",
                remedy=error.remedy,
            ) from error
        (spec,) = (spec for spec in specs(self._settings) if spec.name == archive)
        fault = archive_fault(archive, compare(spec, spec.partitions, configs))
        if fault:
            raise ArchiveUnsafe(fault)
        self._asked_at = now
