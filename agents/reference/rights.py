"""The least rights of each role on a cluster with ACLs, and the commands that grant them.

Rights on topics follow from who writes and reads them (`agents/reference/topic_facts.py`). Kafka
includes Describe in Read, Write and Delete, and DescribeConfigs in AlterConfigs.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agents.reference.topic_facts import facts
from streams.kafka.topic_specs import Topics
from streams.settings import Settings

__all__ = ["ROLES", "Right", "as_json", "commands_of", "rights"]

ROLES: Mapping[str, str] = {
    "worker": "runs `emberline worker`",
    "producer": "writes events, users and definitions",
    "consumer": "reads what becomes of sources and commands",
    "importer": "runs `emberline import`",
    "bridge": "runs `emberline bridge`",
    "operator": "runs commands: status, restore, hold, audit, topics check",
    "setup": "runs `emberline topics create`, and lets workers correct settings of topics",
}
_OF_WORKERS = frozenset({"shards", "coordinator", "notifier", "workers"})
_ORDER = ("Read", "Write", "Delete", "Create", "AlterConfigs", "DescribeConfigs", "Describe")


@dataclass(frozen=True, slots=True)
class Right:
    """Operations that a role needs on one resource, or on all whose names begin with `name`.

    `resource` is topic, group, transactional-id or cluster.
    """

    resource: str
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


def rights(
    settings: Settings, role: str, group: str = "", topics: Sequence[str] = ()
) -> tuple[Right, ...]:
    """The rights of a role of ROLES under these settings; `group` is that of a consumer or a
    bridge, `topics` are those that a bridge reads.
    """
    if role == "bridge":
        return tuple(_of_bridge(settings, group or f"{settings.prefix}bridge", topics))
    if role == "importer":
        names = Topics(settings.prefix)
        written = (*names.events.values(), names.users, names.catalog, names.control)
        return tuple(Right("topic", name, ("Write",)) for name in written)
    if role == "setup":
        return tuple(
            Right("topic", spec.name, ("Create", "AlterConfigs", "Describe"))
            for spec, _ in facts(settings)
        )
    return (*_on_topics(settings, role), *_on_others(settings, role, group))


def _on_topics(settings: Settings, role: str) -> Iterator[Right]:
    names = _OF_WORKERS if role == "worker" else {f"{role}s"}
    topics = Topics(settings.prefix)
    purged = {topics.repartition, topics.shard_reports, topics.archive}
    for spec, about in facts(settings):
        found = set()
        if names & set(about.readers):
            found.add("Read")
        if names & set(about.writers):
            found.add("Write")
        if role == "worker" and spec.name in purged:
            found.add("Delete")
        if role in ("worker", "operator"):
            found.add("DescribeConfigs")
            if not found & {"Read", "Write"}:
                found.add("Describe")
        if found:
            yield Right("topic", spec.name, tuple(one for one in _ORDER if one in found))


def _of_bridge(settings: Settings, group: str, topics: Sequence[str]) -> Iterator[Right]:
    names = Topics(settings.prefix)
    for topic in topics:
        yield Right("topic", topic, ("Read",))
    for topic in (*names.events.values(), names.users, names.rejected):
        yield Right("topic", topic, ("Write",))
    yield Right("group", group, ("Read",))
    # an id for each partition that is read
    yield Right("transactional-id", f"{group}-bridge-", ("Write",), prefixed=True)


def _on_others(settings: Settings, role: str, group: str) -> Iterator[Right]:
    if role == "worker":
        yield Right("group", settings.group_id, ("Read",))
        yield Right("transactional-id", settings.prefix, ("Write",), prefixed=True)
    elif role == "consumer" and group:
        yield Right("group", group, ("Read",))


def commands_of(granted: Iterable[Right], principal: str, bootstrap: str) -> Iterator[str]:
    """The commands of Kafka that grant the rights: one for all resources of a kind with the same
    operations, because each starts a Java of its own.
    """
    alike: dict[tuple[str, tuple[str, ...], bool], list[str]] = {}
    for right in granted:
        kind = (right.resource, right.operations, right.prefixed)
        alike.setdefault(kind, []).append(right.name)
    for (resource, operations, prefixed), names in alike.items():
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--command-config"]
        words += ["admin.properties", "--add", "--allow-principal", principal]
        for operation in operations:
            words += ["--operation", operation]
        for name in names:
            words += [f"--{resource}", name]
        if prefixed:
            words += ["--resource-pattern-type", "prefixed"]
        yield shlex.join(words)


def as_json(right: Right) -> dict[str, object]:
    """The right as an object."""
    return {
        "resource": right.resource,
        "name": right.name,
        "pattern": "PREFIXED" if right.prefixed else "LITERAL",
        "operations": list(right.operations),
    }
