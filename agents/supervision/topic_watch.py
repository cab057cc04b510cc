"""Watches topics while a worker runs: somebody may change, extend, delete or recreate them."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from types import MappingProxyType

from schemas.errors import Recoverable
from streams.kafka.environment import Environment
from streams.kafka.log import Partition
from streams.kafka.topic_specs import TopicProblem, Topics, archive_fault

__all__ = ["TopicWatch"]

log = logging.getLogger(__name__)

EVERY_S = 60.0


class TopicWatch:
    """Regularly compares the topics with their specification, and with their former layout.

    `findings` are the problems of the last check; each is logged when it appears, and when it is
    solved. `rights` are the operations by topic that the worker needs, and `lacking` says which of
    its rights somebody has taken away.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        rights: Mapping[str, Collection[str]] = MappingProxyType({}),
        every_s: float = EVERY_S,
    ) -> None:
        self.lacking = ""
        self._rights = rights
        self.findings: tuple[TopicProblem, ...] = ()
        self._settings = environment.settings
        self._kafka = environment.kafka
        self._every_s = every_s
        self._ids: dict[str, str] = {}
        self._unread: Mapping[Partition, int] = {}

    @property
    def misleading(self) -> list[TopicProblem]:
        """The problems that may make answers wrong, or leave events unread."""
        return [problem for problem in self.findings if problem.misleads]

    @property
    def archive_fault(self) -> str | None:
        """How the archive's topic would lose what moves to it, and the remedy; empty if it would
        not, None before the first check.
        """
        if not self._ids:
            return None
        return archive_fault(Topics(self._settings.prefix).archive, self.findings)

    def unread(self, shard: int) -> dict[str, int]:
        """Records by topic in additional partitions that no shard reads. The shard whose number
        equals the partition modulo the number of shards reports them.
        """
        found: dict[str, int] = {}
        for (topic, partition), records in self._unread.items():
            if partition % self._settings.partitions == shard:
                found[topic] = found.get(topic, 0) + records
        return found

    async def run(self) -> None:
        """Check regularly, until cancelled."""
        while True:
            try:
                await self.once()
            except Recoverable as error:
                log.debug("topics not compared: %s", error)  # the gate says who does not answer
            await asyncio.sleep(self._every_s)

    async def _compare_rights(self) -> None:
        if not self._rights:
            return
        name = f"{self._settings.prefix}shard-0"
        found = await self._kafka.admin.lacking(self._rights, name)
        lacking = f"this worker lacks {', '.join(found)}" if found else ""
        if lacking and lacking != self.lacking:
            log.error(f"{lacking}: `emberline topics acls --role worker` says how to grant it")
        if self.lacking and not lacking:
            log.warning("this worker has its rights again")
        self.lacking = lacking

    async def once(self) -> None:
        """Check now. Raises Recoverable if the broker refuses; then the former findings stay."""
        await self._compare_rights()
        problems, there = await self._kafka.admin.inspect()
        topics = Topics(self._settings.prefix)
        read = {*topics.events.values(), topics.users, topics.repartition}
        surplus = [
            (name, partition)
            for name in sorted(read & there.keys())
            for partition in range(self._settings.partitions, there[name].partitions)
        ]
        logs = await self._kafka.admin.bounds(surplus) if surplus else {}
        self._unread = {one: end - begin for one, (begin, end) in logs.items() if end > begin}
        for name, found in there.items():
            if self._ids.setdefault(name, found.topic_id) != found.topic_id:
                problems.append(_made_anew(name, self._ids[name], found.topic_id))
        self._say(problems)
        self.findings = tuple(problems)

    def _say(self, problems: list[TopicProblem]) -> None:
        for problem in problems:
            if problem not in self.findings:
                log.error(f"topic {problem}. {problem.remedy}")
        for problem in self.findings:
            if problem not in problems:
                log.warning(f"solved: topic {problem}")


def _made_anew(topic: str, former: str, found: str) -> TopicProblem:
    return TopicProblem(
        topic,
        "incarnation",
        found,
        former,
        "It was deleted and created again while workers ran, and they may have passed over records "
        "of the new one: stop them, run `emberline topics skip`, which has it read from its "
        "beginning, and start them again",
    )
