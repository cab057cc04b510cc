"""The log that brokers keep: `log.Log` over aiokafka."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random

from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from schemas.errors import Fatal, Recoverable
from streams.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock
from streams.kafka import bootstrap, clients, offsets
from streams.kafka import topics as topic_admin
from streams.kafka.fetch import Fetcher
from streams.kafka.log import (
    DEFAULT_OPTIONS,
    LogAdmin,
    LogAppender,
    LogReader,
    LogWriter,
    Partition,
    ReaderOptions,
)
from streams.kafka.refusal import lacks, unreachable
from streams.kafka.topic_specs import TopicLayout, TopicProblem
from streams.settings import Settings

__all__ = ["KafkaAdmin", "KafkaLog"]

_DELETE_S = 30.0


class KafkaLog:
    """The logs of the cluster that the settings name; see `log.Log`."""

    def __init__(
        self, settings: Settings, clock: Clock = SYSTEM_CLOCK, random: Random = SYSTEM_RANDOM
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random
        self._admin = KafkaAdmin(settings)

    @property
    def address(self) -> str:
        """The brokers to ask first."""
        return self._settings.bootstrap_servers

    @property
    def admin(self) -> LogAdmin:
        """Asks the brokers."""
        return self._admin

    def reader(
        self,
        cursor: Mapping[Partition, int],
        options: ReaderOptions = DEFAULT_OPTIONS,
    ) -> LogReader:
        """A group-less fetcher."""
        return Fetcher(self._settings, cursor, options, clock=self._clock, random=self._random)

    def writer(self, transactional_id: str) -> LogWriter:
        """A transactional producer."""
        from streams.kafka.step import StepProducer  # the commands that only read need none

        return StepProducer(self._settings, transactional_id)

    def appender(self, name: str = "appender") -> LogAppender:
        """An idempotent producer."""
        from streams.kafka.append import Appender  # as above

        return Appender(self._settings, name)


class KafkaAdmin:
    """See `log.LogAdmin`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def answers(self, host_s: float) -> bool:
        """As `bootstrap.answers`."""
        return await bootstrap.answers(self._settings, "gate", host_s)

    async def topics(self) -> dict[str, int]:
        """As `topics.partitions`."""
        return await topic_admin.partitions(self._settings)

    async def create(self) -> list[str]:
        """As `topics.create`."""
        return await topic_admin.create(self._settings)

    async def inspect(self) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
        """As `topics.inspect`."""
        return await topic_admin.inspect(self._settings)

    async def repair(self) -> list[TopicProblem]:
        """As `topics.repair`."""
        return await topic_admin.repair(self._settings)

    async def lacking(
        self, wanted: Mapping[str, Collection[str]], transactional_id: str
    ) -> list[str]:
        """As `topics.lacking`."""
        return await topic_admin.lacking(self._settings, wanted, transactional_id)

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """As `offsets.bounds`."""
        return await offsets.bounds(self._settings, partitions)

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """From the metadata of any broker."""
        servers = self._settings.bootstrap_servers
        client = bootstrap.client(self._settings, "reader")
        try:
            await client.bootstrap()
            await client.set_topics(topics)
            found = {topic: client.cluster.partitions_for_topic(topic) for topic in topics}
            hidden = client.cluster.unauthorized_topics & set(topics)
        except KafkaError as error:
            otherwise = Recoverable(
                f"The broker at {servers} does not answer: {type(error).__name__}",
                remedy="Start one (`emberline broker`) or set KAFKA_BOOTSTRAP_SERVERS",
            )
            raise unreachable(error, otherwise) from error
        finally:
            await client.close()
        if hidden:
            raise lacks(f"Describe on topic {', '.join(sorted(hidden))}")
        for topic, numbers in found.items():
            if not numbers:
                raise Fatal(
                    f"There is no topic {topic} at {servers}",
                    remedy="Make the topics with `emberline topics create`, or correct the prefix",
                )
        return [(topic, n) for topic, numbers in found.items() for n in sorted(numbers or ())]

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """As `topics.topic_ids`."""
        return await topic_admin.topic_ids(self._settings, topics)

    async def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """As `topics.configs`."""
        return await topic_admin.configs(self._settings, topics)

    async def delete_below(self, partition: Partition, offset: int) -> None:
        """By the request of the same meaning, DeleteRecords."""
        admin = clients.admin(self._settings, f"{self._settings.client_id}-purge")
        try:
            async with asyncio.timeout(_DELETE_S):
                await admin.start()
                at = TopicPartition(*partition)
                await admin.delete_records({at: RecordsToDelete(before_offset=offset)})
        except (KafkaError, OSError, TimeoutError) as error:
            topic, number = partition
            otherwise = Recoverable(
                f"{topic}[{number}]: records below {offset} are not deleted "
                f"({type(error).__name__})",
                remedy="Give this client the right to delete records of the topic",
            )
            raise unreachable(error, otherwise, f"topic {topic}") from error
        finally:
            await admin.close()
