"""Creates missing topics on the broker, and compares existing ones with their specification."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import CoordinationType
from aiokafka.errors import KafkaError, for_code

from schemas.errors import Fatal, Recoverable
from streams.kafka import bootstrap, clients
from streams.kafka.refusal import unreachable
from streams.kafka.topic_layout import layouts, operations
from streams.kafka.topic_repair import set_configs
from streams.kafka.topic_specs import (
    DELETE_RETENTION_MS,
    EVENTS,
    MAX_MESSAGE_BYTES,
    TopicLayout,
    TopicProblem,
    Topics,
    TopicSpec,
    compare,
    specs,
)
from streams.settings import Settings

__all__ = [
    "DELETE_RETENTION_MS",
    "EVENTS",
    "MAX_MESSAGE_BYTES",
    "TopicProblem",
    "TopicSpec",
    "Topics",
    "check",
    "compare",
    "configs",
    "create",
    "inspect",
    "lacking",
    "partitions",
    "repair",
    "specs",
    "topic_ids",
]

log = logging.getLogger(__name__)

_ALREADY_EXISTS = 36
_DEADLINE_S = 30.0
_POLL_S = 0.05
#: The controller makes all partitions of all topics before it answers.
_CREATE_S = 20.0


async def create(settings: Settings) -> list[str]:
    """Create every missing topic; return the created names, once all of them have leaders.

    Existing topics stay as they are: see `check` and `repair`. Raises Recoverable if no broker
    answers in 30 s, Fatal if the broker refuses.
    """
    async with _admin(settings, _CREATE_S) as admin:
        there = await _partitions(admin)
        missing = [spec for spec in specs(settings) if spec.name not in there]
        made = await _create(admin, missing, settings.replication_factor) if missing else []
        await _leaders(admin, missing)
        return made


async def check(settings: Settings) -> list[TopicProblem]:
    """The problems of the topics of these settings; empty if there are none.

    Raises Recoverable if no broker answers in 30 s.
    """
    async with _admin(settings) as admin:
        return await _problems(admin, settings)


async def repair(settings: Settings) -> list[TopicProblem]:
    """Correct every wrong setting that may be corrected without harm; returns these problems, once
    they are solved.

    Raises Recoverable if no broker answers in 30 s, Fatal if the broker refuses.
    """
    async with _admin(settings) as admin:
        wrong = [problem for problem in await _problems(admin, settings) if problem.repairable]
        configs: dict[str, dict[str, str]] = {}
        for problem in wrong:
            configs.setdefault(problem.topic, {})[problem.setting] = problem.expected
        await set_configs(admin, configs)
        left = wrong
        while left:  # ended by the deadline; each broker hears of it in its own time
            await asyncio.sleep(_POLL_S)
            left = [problem for problem in await _problems(admin, settings) if problem in wrong]
        return wrong


async def inspect(settings: Settings) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
    """The problems of the topics, and the layout of those that exist.

    Raises Recoverable if no broker answers in 30 s.
    """
    async with _admin(settings) as admin:
        return await _inspected(admin, settings)


async def topic_ids(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """The id of each topic that exists. A topic that is deleted and created again gets another id.

    A cluster without ids (before Kafka 2.8, or with the protocol of such a version) says zero for
    every topic: those are left out. Raises Recoverable if no broker answers in 30 s.
    """
    async with _admin(settings) as admin:
        found = await layouts(admin, names)
    return {name: one.topic_id for name, one in found.items() if one.topic_id.strip("0")}


async def lacking(
    settings: Settings, wanted: Mapping[str, Collection[str]], transactional_id: str
) -> list[str]:
    """The rights that this client lacks, in words: of the wanted operations (Kafka's names) by
    topic, on the group of workers, and on a transactional id.

    A right that cannot be asked for now counts as there. Raises Recoverable if no broker answers in
    30 s.
    """
    async with _admin(settings) as admin:
        allowed = await operations(admin, wanted)
        found = [
            f"{operation} on topic {topic}"
            for topic, needed in wanted.items()
            for operation in needed
            if operation not in allowed[topic]
        ]
        for kind, name, what, denial in (
            (CoordinationType.GROUP, settings.group_id, "Read on group",
             kafka_errors.GroupAuthorizationFailedError),
            (CoordinationType.TRANSACTION, transactional_id, "Write on transactional id",
             kafka_errors.TransactionalIdAuthorizationFailed),
        ):  # fmt: skip
            try:
                await admin._client.coordinator_lookup(kind, name)
            except denial:
                found.append(f"{what} {name}")
            except KafkaError as error:
                log.debug("rights on %s are not known: %r", name, error)
    return found


async def _problems(admin: AIOKafkaAdminClient, settings: Settings) -> list[TopicProblem]:
    return (await _inspected(admin, settings))[0]


async def _inspected(
    admin: AIOKafkaAdminClient, settings: Settings
) -> tuple[list[TopicProblem], dict[str, TopicLayout]]:
    wanted = specs(settings)
    there = await layouts(admin, [spec.name for spec in wanted])
    found = await _configs(admin, there)
    changelog = there.get(Topics(settings.prefix).changelog)
    placed = None if changelog is None else changelog.partitions
    problems: list[TopicProblem] = []
    for spec in wanted:
        lies, configs = there.get(spec.name), found.get(spec.name, {})
        if lies is None:
            problems += compare(spec, None, configs)
        else:
            problems += compare(
                spec, lies.partitions, configs, replicas=lies.replicas, placed=placed
            )
    return problems, there


async def configs(settings: Settings, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The current settings of topics, by topic and name.

    Raises Recoverable if no broker answers in 30 s, or the broker refuses.
    """
    async with _admin(settings) as admin:
        return await _configs(admin, names)


async def partitions(settings: Settings) -> dict[str, int]:
    """Number of partitions of every topic of the cluster, also of topics of other programs.

    Raises Recoverable if no broker answers in 30 s.
    """
    async with _admin(settings) as admin:
        return await _partitions(admin)


@asynccontextmanager
async def _admin(
    settings: Settings, answer_s: float = bootstrap.READ_S
) -> AsyncIterator[AIOKafkaAdminClient]:
    servers = settings.bootstrap_servers
    admin = clients.admin(settings, f"{settings.client_id}-topics", answer_s)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await admin.start()
            yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        otherwise = Recoverable(
            f"The Kafka broker at {servers} does not answer ({type(error).__name__})",
            remedy="Start it (`emberline broker` runs one here) or set --bootstrap-servers",
        )
        raise unreachable(error, otherwise) from error
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, missing: Iterable[TopicSpec], replicas: int
) -> list[str]:
    new = [
        NewTopic(spec.name, spec.partitions, replicas, topic_configs=dict(spec.configs))
        for spec in missing
    ]
    answer = await admin.create_topics(new)
    made = []
    for name, code, *message in answer.topic_errors:
        if code == 0:
            made.append(name)
        elif code != _ALREADY_EXISTS:  # another worker may create them at the same time
            detail = next(filter(None, message), None) or for_code(code).__name__
            raise Fatal(
                f"The broker refused to create topic {name}: {detail}",
                remedy="Check replication_factor, the prefix, and the rights of this client "
                "(`emberline topics acls --role setup`)",
            )
    return made


async def _leaders(admin: AIOKafkaAdminClient, made: Iterable[TopicSpec]) -> None:
    while True:  # ended by the caller's deadline; brokers tell nobody when they are ready
        there = await _partitions(admin, led=True)
        if all(there.get(spec.name, 0) >= spec.partitions for spec in made):
            return
        await asyncio.sleep(_POLL_S)


async def _partitions(admin: AIOKafkaAdminClient, *, led: bool = False) -> dict[str, int]:
    """Number of partitions (with `led`, of those with a leader), by topic.

    Asks for all topics: asking for one that is missing makes some brokers create it.
    """
    return {
        topic["topic"]: sum(part["leader"] >= 0 or not led for part in topic["partitions"])
        for topic in await admin.describe_topics()
    }


async def _configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answers: list[Any] = await admin.describe_configs(resources) if resources else []
    configs: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                otherwise = Recoverable(
                    f"The broker does not return the settings of topic {name}: "
                    f"{message or for_code(code).__name__}",
                    remedy="Try again, or check the rights of this client",
                )
                raise unreachable(for_code(code)(), otherwise, f"topic {name} (DescribeConfigs)")
            configs[name] = {entry[0]: entry[1] or "" for entry in entries}
    return configs
