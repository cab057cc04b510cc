"""Every topic: name, partitions, settings, and the comparison with an existing topic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.decode.inputs import Inputs
from streams.settings import Settings

__all__ = [
    "DELETE_RETENTION_MS",
    "EVENTS",
    "MAX_MESSAGE_BYTES",
    "TopicLayout",
    "TopicProblem",
    "TopicSpec",
    "Topics",
    "archive_fault",
    "compare",
    "fixed_number",
    "specs",
]

EVENTS = ("send", "open", "click", "variant", "conversion", "signal")
"""Kinds of events that producers write, each with a topic of its own."""

MAX_MESSAGE_BYTES = 1_048_588
"""Largest record batch a topic takes: our bound of 1,000,000 and room for Kafka's framing."""

DELETE_RETENTION_MS = 86_400_000
"""How long a compacted topic keeps tombstones: a reader further behind may miss a deletion."""

_DAY_MS = 86_400_000
#: The broker stamps what comes: a retention then counts from there, a clock that is ahead has
#: no record refused, and the local clock can be compared with the broker's.
_STAMPED = {"message.timestamp.type": "LogAppendTime"}
_REMEMBERED = {"delete.retention.ms": str(30 * _DAY_MS)}
_RETENTION = {"retention.ms", "retention.bytes"}
#: What decides for how long a topic keeps its records.
_KEEPING = ("topic", "incarnation", "cleanup.policy", "retention.ms", "retention.bytes")
#: A replica that lacks records may become the leader: they are lost then.
_UNCLEAN = "unclean.leader.election.enable"
_REPAIR = "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {set}"


@dataclass(frozen=True)
class Topics:
    """Names of all topics under a prefix."""

    prefix: str
    users: str = field(init=False)
    catalog: str = field(init=False)
    control: str = field(init=False)
    control_results: str = field(init=False)
    expired: str = field(init=False)
    restored: str = field(init=False)
    expiring_soon: str = field(init=False)
    state: str = field(init=False)
    audit: str = field(init=False)
    rejected: str = field(init=False)
    repartition: str = field(init=False)
    shard_reports: str = field(init=False)
    changelog: str = field(init=False)
    archive: str = field(init=False)
    coordinator: str = field(init=False)
    notifications: str = field(init=False)

    def __post_init__(self) -> None:
        for attribute, name in _NAMES.items():
            object.__setattr__(self, attribute, self.prefix + name)

    def event(self, event: str) -> str:
        """The topic of one kind of event. Raises ValueError for another word."""
        if event not in EVENTS:
            raise ValueError(f"{event!r} is no kind of event, those are {', '.join(EVENTS)}")
        return f"{self.prefix}interactions.{event}"

    @property
    def events(self) -> dict[str, str]:
        """Topic by kind of event, in the order of EVENTS."""
        return {event: self.event(event) for event in EVENTS}

    @property
    def inputs(self) -> Inputs:
        """The topics that shards read."""
        kinds = {topic: event for event, topic in self.events.items()}
        return Inputs(kinds, self.users, self.repartition)

    def named(self, name: str) -> str:
        """The topic for a name that a person typed, with or without the prefix; our own topics
        first.
        """
        known = self.all()
        return self.prefix + name if name not in known and self.prefix + name in known else name

    def all(self) -> tuple[str, ...]:
        """Every topic, events first."""
        return (*self.events.values(), *(self.prefix + name for name in _NAMES.values()))


_NAMES = {
    "users": "users",
    "catalog": "catalog",
    "control": "control",
    "control_results": "control.results",
    "expired": "lifecycle.expired",
    "restored": "lifecycle.restored",
    "expiring_soon": "lifecycle.expiring-soon",
    "state": "lifecycle.state",
    "audit": "lifecycle.audit",
    "rejected": "rejected",
    "repartition": "repartition",
    "shard_reports": "shard-reports",
    "changelog": "changelog",
    "archive": "archive",
    "coordinator": "coordinator",
    "notifications": "notifications",
}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """The specification of a topic.

    `configs` are set at creation. Only the settings in `checked` are compared later; operators may
    change the others. Of a topic `of_producers` the clean-up policy is only advised. The settings
    in `repaired` (a part of `checked`) may be corrected at any time without harm: `emberline topics
    create` and a starting worker do so.
    """

    name: str
    partitions: int
    configs: Mapping[str, str]
    checked: frozenset[str] = frozenset()
    repaired: frozenset[str] = frozenset()
    replicas: int = 1
    sharded: bool = False
    of_producers: bool = False


@dataclass(frozen=True, slots=True)
class TopicLayout:
    """`replicas` is the replica count of the partition with the fewest; `topic_id` is 32 hex
    digits.
    """

    partitions: int
    replicas: int
    topic_id: str


@dataclass(frozen=True, slots=True)
class TopicProblem:
    """One difference between a topic and its specification. `setting` is `topic`, `partitions`,
    `replicas`, `incarnation` or a config.
    """

    topic: str
    setting: str
    found: str
    expected: str
    remedy: str
    repairable: bool = False
    advised: bool = False
    """Of a topic of the producers, whose settings they choose: a warning."""

    @property
    def misleads(self) -> bool:
        """Whether answers may be wrong, or events may stay unread, until the problem is solved."""
        return self.setting in ("topic", "partitions", "incarnation")

    @property
    def tolerable(self) -> bool:
        """Whether the problem endangers only the durability of data: then a worker may start."""
        return self.advised or self.setting in ("replicas", "min.insync.replicas", _UNCLEAN)

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.topic}: {self.setting} is {self.found}, must be {self.expected}"


def specs(settings: Settings) -> list[TopicSpec]:
    """Every topic of these settings, in the order of `Topics.all()`."""
    topics = Topics(settings.prefix)
    shards = settings.partitions
    month, week = _kept(30 * _DAY_MS), _kept(7 * _DAY_MS)
    year, ever = _kept(365 * _DAY_MS), _kept(-1)
    # its readers delete what they have read: whatever lies here still has to be read
    handed_on = ever | {"segment.bytes": str(64 << 20)}
    retention = {"cleanup.policy", "retention.ms"}
    everything = {"cleanup.policy", "retention.ms", "retention.bytes"}
    compaction = {"cleanup.policy", "delete.retention.ms"}
    rows: list[tuple[str, int, dict[str, str], set[str]]] = [
        # how long events are kept is their producers' choice; by when they came, or a
        # producer's old stamps would have them deleted before they are read; compaction would
        # leave one event of a user
        *((name, shards, week | _STAMPED, {"cleanup.policy"}) for name in topics.events.values()),
        # a shard reads it from its cursor on: a deletion must be there until all have read it
        (topics.users, shards, _compacted(16) | _REMEMBERED, compaction),
        (topics.catalog, 1, _compacted(8), compaction),
        (topics.control, 1, month | _STAMPED, retention | _STAMPED.keys()),
        (topics.control_results, 1, month | _STAMPED, retention | _STAMPED.keys()),
        (topics.expired, 1, year | _STAMPED, retention | _STAMPED.keys()),
        (topics.restored, 1, year | _STAMPED, retention | _STAMPED.keys()),
        (topics.expiring_soon, 1, year | _STAMPED, retention | _STAMPED.keys()),
        (topics.state, 1, _compacted(8) | _STAMPED, compaction | _STAMPED.keys()),
        (topics.audit, 1, ever | _STAMPED, everything | _STAMPED.keys()),
        (topics.rejected, shards, month | _STAMPED, retention | _STAMPED.keys()),
        (topics.repartition, shards, handed_on | _STAMPED, everything | _STAMPED.keys()),
        (topics.shard_reports, 1, handed_on | _STAMPED, everything | _STAMPED.keys()),
        (topics.changelog, shards, _compacted(64) | _STAMPED, compaction | _STAMPED.keys()),
        (topics.archive, shards, ever | _STAMPED, everything | _STAMPED.keys()),
        (topics.coordinator, 1, _compacted(8) | _STAMPED, compaction | _STAMPED.keys()),
        (topics.notifications, 1, _compacted(8) | _STAMPED, compaction | _STAMPED.keys()),
    ]
    # what emberline alone writes and reads, or what was made with a shorter retention before
    kept = {topics.repartition, topics.shard_reports}
    sharded = {*topics.events.values(), topics.users, topics.rejected, topics.repartition}
    sharded |= {topics.changelog, topics.archive}
    common = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    if settings.replication_factor > 2:
        common["min.insync.replicas"] = "2"
    return [
        TopicSpec(
            name,
            count,
            common | configs,
            frozenset(checked | common.keys()),
            frozenset(_STAMPED.keys() | (_RETENTION if name in kept else set())),
            settings.replication_factor,
            name in sharded,
            name in topics.events.values(),
        )
        for name, count, configs, checked in rows
    ]


def _kept(retention_ms: int) -> dict[str, str]:
    configs = {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}
    # a broker-wide size limit would cut short what is kept for a time or for ever
    return configs | {"retention.bytes": "-1"}


def _compacted(segment_mb: int) -> dict[str, str]:
    # only closed segments are compacted: large ones keep an idle topic's garbage for ever
    return {
        "cleanup.policy": "compact",
        "segment.bytes": str(segment_mb << 20),
        "min.cleanable.dirty.ratio": "0.2",
        "max.compaction.lag.ms": str(_DAY_MS // 24),
        "delete.retention.ms": str(DELETE_RETENTION_MS),
    }


def compare(
    spec: TopicSpec,
    partitions: int | None,
    configs: Mapping[str, str],
    *,
    replicas: int | None = None,
    placed: int | None = None,
) -> list[TopicProblem]:
    """The differences between an existing topic and its specification; `partitions` is None if the
    topic does not exist.

    `replicas` is the replica count of the partition with the fewest; `placed` is the number of
    partitions with which data was placed under this prefix, None if unknown. A longer retention,
    larger messages and more replicas than specified are accepted.
    """
    if partitions is None:
        remedy = "Run `emberline topics create`"
        return [TopicProblem(spec.name, "topic", "missing", "there", remedy)]
    problems = []
    if partitions != spec.partitions:
        remedy = _other_partitions(spec, partitions, placed)
        expected = str(spec.partitions)
        problems.append(TopicProblem(spec.name, "partitions", str(partitions), expected, remedy))
    if replicas is not None and replicas < spec.replicas:
        remedy = (
            "Have Kafka copy it to more brokers (kafka-reassign-partitions.sh), or set "
            f"replication_factor to {replicas}, if that many copies are enough"
        )
        found, expected = str(replicas), str(spec.replicas)
        problems.append(TopicProblem(spec.name, "replicas", found, expected, remedy))
    for name in sorted(spec.checked):
        expected, found = spec.configs[name], configs.get(name, "")
        least = expected
        if name == "delete.retention.ms":
            # made longer where that helps; a day is what everything else rests on
            least = str(min(int(expected), DELETE_RETENTION_MS))
        if not _enough(name, found, least):
            remedy = _REPAIR.format(topic=spec.name, set=f"{name}={expected}")
            ours = name in spec.repaired
            if ours:
                remedy = f"Run `emberline topics create`, or {remedy}"
            advised = spec.of_producers and name == "cleanup.policy"
            problems.append(TopicProblem(spec.name, name, found, expected, remedy, ours, advised))
    if spec.replicas > 1 and configs.get(_UNCLEAN) == "true":
        remedy = _REPAIR.format(topic=spec.name, set=f"{_UNCLEAN}=false")
        problems.append(TopicProblem(spec.name, _UNCLEAN, "true", "false", remedy))
    return problems


def archive_fault(archive: str, problems: Iterable[TopicProblem]) -> str:
    """How the topic `archive` would lose what moves to it, and the remedy; empty if it keeps it."""
    for problem in problems:
        if problem.topic == archive and problem.setting in _KEEPING:
            return f"topic {problem}. {problem.remedy}"
    return ""


def fixed_number(placed: int) -> str:
    """The remedy if data was placed with a number of partitions that differs from the setting."""
    return (
        f"Set EMBERLINE_PARTITIONS={placed}; if the topics have got more partitions since, or "
        "another number is wanted: take a new prefix, run `emberline topics create`, have "
        "producers write there, and bring in what was sent before with `emberline import`"
    )


def _other_partitions(spec: TopicSpec, found: int, placed: int | None) -> str:
    """The remedy for a wrong number of partitions; following it causes no other problem."""
    if not spec.sharded:
        return (
            "Only its partition 0 is read. Delete the topic and run `emberline topics create`; "
            "of a compacted one keep its records, and write them again"
        )
    if placed is None or (placed == found and found < spec.partitions):
        return f"Set partitions to {found}, as the data was placed with that number"
    elsewhere = (
        f"take a new prefix with partitions={found}, run `emberline topics create`, have "
        "producers write there, and bring in what was sent before with `emberline import`"
    )
    if placed == found:
        return (
            f"Set partitions to {found}, as the data was placed with that number; but if all "
            f"topics were given more partitions after workers had run, then {elsewhere}"
        )
    if placed != spec.partitions:
        return f"Set partitions to {placed}, as the data of this prefix was placed with that number"
    if found < spec.partitions:
        return (
            f"Give it the others: kafka-topics.sh --alter --topic {spec.name} "
            f"--partitions {spec.partitions}"
        )
    unread = f"partition {spec.partitions}"
    if found - spec.partitions > 1:
        unread = f"partitions {spec.partitions} to {found - 1}"
    return (
        f"Nobody reads {unread}: the number is fixed for a prefix, and Kafka takes no partition "
        f"away. To use them, {elsewhere}"
    )


def _enough(name: str, found: str, expected: str) -> bool:
    if name in ("cleanup.policy", "message.timestamp.type"):
        return found == expected
    if not found.lstrip("-").isdecimal():
        return False
    unlimited = name.startswith("retention.") and found == "-1"
    return unlimited or (expected != "-1" and int(found) >= int(expected))
