"""Watching topics while a worker runs: somebody may change, add to, delete or remake them."""

import asyncio
import logging
from collections.abc import Mapping

from schemas.errors import Recoverable
from streams.kafka import topics as topic_admin
from streams.kafka.log import Partition
from streams.kafka.offsets import bounds
from streams.kafka.topics import TopicProblem, Topics
from streams.settings import Settings

__all__ = ["TopicWatch"]

log = logging.getLogger(__name__)

EVERY_S = 60.0


class TopicWatch:
    """Compares the topics now and then with what they should be, and with what they were.

    `findings` is what was wrong when that was last looked at; each is logged when it is first
    seen, and when it is gone.
    """

    def __init__(self, settings: Settings, *, every_s: float = EVERY_S) -> None:
        self.findings: tuple[TopicProblem, ...] = ()
        self._settings = settings
        self._every_s = every_s
        self._ids: dict[str, str] = {}
        self._unread: Mapping[Partition, int] = {}

    @property
    def misleading(self) -> list[TopicProblem]:
        """Those with which answers may be wrong, or events are read by nobody."""
        return [problem for problem in self.findings if problem.misleads]

    def unread(self, shard: int) -> dict[str, int]:
        """Records by topic in partitions that no shard reads, told by the shard whose number
        is theirs modulo the number of shards."""
        found: dict[str, int] = {}
        for (topic, partition), records in self._unread.items():
            if partition % self._settings.partitions == shard:
                found[topic] = found.get(topic, 0) + records
        return found

    async def run(self) -> None:
        """Look every now and then, until cancelled."""
        while True:
            try:
                await self.once()
            except Recoverable as error:
                log.debug("topics not compared: %s", error)  # the gate says who does not answer
            await asyncio.sleep(self._every_s)

    async def once(self) -> None:
        """Look now. Raises Recoverable where the broker does not tell; what was found stays."""
        problems, there = await topic_admin.inspect(self._settings)
        topics = Topics(self._settings.prefix)
        read = {*topics.events.values(), topics.users, topics.repartition}
        surplus = [
            (name, partition)
            for name in sorted(read & there.keys())
            for partition in range(self._settings.partitions, there[name].partitions)
        ]
        logs = await bounds(self._settings, surplus) if surplus else {}
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
                log.warning(f"no longer so: topic {problem}")


def _made_anew(topic: str, former: str, found: str) -> TopicProblem:
    return TopicProblem(
        topic,
        "incarnation",
        found,
        former,
        "It was deleted and made anew while workers ran, and they may have passed over records "
        "of the new one: stop them, run `emberline topics skip`, which has it read from its "
        "beginning, and start them again",
    )
