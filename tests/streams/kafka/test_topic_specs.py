"""Names and settings of topics, and the problems found in them."""

import pytest

from streams.kafka.topic_specs import EVENTS, Topics, TopicSpec, compare, specs
from streams.settings import Settings

SETTINGS = Settings(prefix="x.", partitions=4)
BY_NAME = {spec.name: spec for spec in specs(SETTINGS)}
TOPICS = Topics("x.")


def test_names() -> None:
    assert TOPICS.event("send") == "x.interactions.send"
    assert tuple(TOPICS.events) == EVENTS
    assert TOPICS.control_results == "x.control.results"
    assert TOPICS.expiring_soon == "x.lifecycle.expiring-soon"
    assert TOPICS.state == "x.lifecycle.state"
    assert TOPICS.shard_reports == "x.shard-reports"
    assert Topics("").catalog == "catalog"
    with pytest.raises(ValueError, match="no kind of event"):
        TOPICS.event("sent")


@pytest.mark.parametrize("prefix", ["brz-", "", "a.b.", "a_b_", "users"])
def test_a_topic_is_named_with_or_without_the_prefix_whatever_that_is(prefix: str) -> None:
    topics = Topics(prefix)
    assert topics.named("users") == topics.users
    assert topics.named(topics.users) == topics.users
    assert topics.named("interactions.open") == topics.event("open")
    assert topics.named("another") == "another"
    assert topics.inputs.events == {topic: kind for kind, topic in topics.events.items()}


def test_every_topic_has_a_spec() -> None:
    assert tuple(BY_NAME) == TOPICS.all()
    assert len(set(BY_NAME)) == 22


def test_shards_and_single_partitions() -> None:
    sharded = {
        *TOPICS.events.values(),
        *(TOPICS.users, TOPICS.rejected, TOPICS.repartition, TOPICS.changelog, TOPICS.archive),
    }
    assert {name for name, spec in BY_NAME.items() if spec.partitions == 4} == sharded
    assert all(spec.partitions == 1 for name, spec in BY_NAME.items() if name not in sharded)


def test_what_is_compacted_and_what_is_kept_for_ever() -> None:
    compacted = {name for name, s in BY_NAME.items() if s.configs["cleanup.policy"] == "compact"}
    assert compacted == {
        *(TOPICS.users, TOPICS.catalog, TOPICS.state, TOPICS.changelog, TOPICS.coordinator),
        TOPICS.notifications,
    }
    for name in (TOPICS.archive, TOPICS.audit):
        configs = BY_NAME[name].configs
        assert (configs["retention.ms"], configs["retention.bytes"]) == ("-1", "-1")


def test_the_broker_stamps_what_emberline_writes_and_commands() -> None:
    own = BY_NAME.keys() - {*TOPICS.events.values(), TOPICS.users, TOPICS.catalog}
    stamped = {
        name
        for name, spec in BY_NAME.items()
        if "message.timestamp.type" in spec.checked
        and spec.configs["message.timestamp.type"] == "LogAppendTime"
    }
    assert stamped == own
    for name in own:
        assert "message.timestamp.type" in BY_NAME[name].repaired


def test_nothing_that_has_to_be_read_first_is_deleted_by_time() -> None:
    for name in (TOPICS.repartition, TOPICS.shard_reports):
        spec = BY_NAME[name]
        assert (spec.configs["retention.ms"], spec.configs["retention.bytes"]) == ("-1", "-1")
        assert spec.checked >= {"retention.ms", "retention.bytes"}
    for topic in TOPICS.events.values():
        # a producer's old stamps would have what it sends deleted before it is read
        assert BY_NAME[topic].configs["message.timestamp.type"] == "LogAppendTime"
        assert BY_NAME[topic].checked == {"max.message.bytes", "cleanup.policy"}


def test_more_brokers_more_safety() -> None:
    three = specs(Settings(replication_factor=3))
    assert all(spec.configs["min.insync.replicas"] == "2" for spec in three)
    assert "min.insync.replicas" not in BY_NAME[TOPICS.archive].configs


@pytest.mark.parametrize("spec", BY_NAME.values(), ids=lambda spec: spec.name)
def test_a_topic_as_it_was_made_is_right(spec: TopicSpec) -> None:
    assert compare(spec, spec.partitions, spec.configs) == []


@pytest.mark.parametrize("spec", BY_NAME.values(), ids=lambda spec: spec.name)
def test_a_missing_topic(spec: TopicSpec) -> None:
    (problem,) = compare(spec, None, {})
    assert (problem.topic, problem.found) == (spec.name, "missing")
    assert "emberline topics create" in problem.remedy


@pytest.mark.parametrize(
    ("topic", "setting", "value", "wrong"),
    [
        (TOPICS.archive, "retention.ms", "604800000", True),
        (TOPICS.archive, "retention.bytes", "1000", True),
        (TOPICS.archive, "cleanup.policy", "compact", True),
        (TOPICS.changelog, "cleanup.policy", "compact,delete", True),
        (TOPICS.changelog, "segment.bytes", "1", False),
        (TOPICS.changelog, "delete.retention.ms", "60000", True),
        (TOPICS.changelog, "delete.retention.ms", "", True),
        (TOPICS.changelog, "delete.retention.ms", "172800000", False),
        (TOPICS.coordinator, "delete.retention.ms", "60000", True),
        (TOPICS.state, "delete.retention.ms", "60000", True),
        (TOPICS.users, "delete.retention.ms", "60000", True),
        (TOPICS.users, "delete.retention.ms", "86400000", False),
        (TOPICS.changelog, "message.timestamp.type", "CreateTime", True),
        (TOPICS.repartition, "message.timestamp.type", "CreateTime", True),
        (TOPICS.repartition, "retention.ms", "604800000", True),
        (TOPICS.shard_reports, "retention.ms", "604800000", True),
        (TOPICS.event("send"), "message.timestamp.type", "CreateTime", False),
        (TOPICS.control, "retention.ms", "1000", True),
        (TOPICS.control, "retention.ms", "-1", False),
        (TOPICS.control, "retention.ms", "9999999999999", False),
        (TOPICS.state, "max.message.bytes", "1000", True),
        (TOPICS.state, "max.message.bytes", "", True),
        (TOPICS.state, "max.message.bytes", "2000000", False),
        (TOPICS.event("send"), "retention.ms", "1000", False),
        (TOPICS.event("send"), "cleanup.policy", "compact", True),
        (TOPICS.coordinator, "cleanup.policy", "delete", True),
        (TOPICS.state, "cleanup.policy", "delete", True),
        (TOPICS.notifications, "cleanup.policy", "delete", True),
        (TOPICS.users, "cleanup.policy", "delete", True),
        (TOPICS.catalog, "cleanup.policy", "delete", True),
        (TOPICS.audit, "retention.bytes", "1000", True),
        (TOPICS.repartition, "retention.bytes", "1000", True),
    ],
)
def test_settings_that_matter(topic: str, setting: str, value: str, wrong: bool) -> None:
    spec = BY_NAME[topic]
    problems = compare(spec, spec.partitions, {**spec.configs, setting: value})
    assert [problem.setting for problem in problems] == ([setting] if wrong else [])
    for problem in problems:
        assert f"{setting}={spec.configs[setting]}" in problem.remedy
        assert str(problem).startswith(f"{topic}: {setting} is ")


def test_another_number_of_shards() -> None:
    spec = BY_NAME[TOPICS.changelog]
    (problem,) = compare(spec, 8, spec.configs)
    assert (problem.setting, problem.found, problem.expected) == ("partitions", "8", "4")
    assert "Set partitions to 8" in problem.remedy
    spec = BY_NAME[TOPICS.catalog]
    (problem,) = compare(spec, 2, spec.configs, placed=4)
    assert "Delete the topic" in problem.remedy


@pytest.mark.parametrize(
    ("found", "placed", "remedies"),
    [
        # the data says which number is right, and the remedy for each topic is the same
        (8, 8, ["Set partitions to 8", "new prefix with partitions=8"]),
        (4, 8, ["Set partitions to 8"]),
        (2, 2, ["Set partitions to 2"]),
        # of data that lies right, one topic was given more, or has fewer
        (6, 4, ["Nobody reads partitions 4 to 5", "new prefix with partitions=6", "import"]),
        (5, 4, ["Nobody reads partition 4:"]),
        (3, 4, ["kafka-topics.sh --alter", "--partitions 4"]),
        (6, None, ["Set partitions to 6"]),
    ],
)
def test_no_remedy_for_partitions_leads_to_another_complaint(
    found: int, placed: int | None, remedies: list[str]
) -> None:
    # the first spec is that of a topic of events
    spec, *_ = specs(Settings(partitions=5 if found == 4 else 4))
    (problem,) = compare(spec, found, spec.configs, placed=placed)
    assert problem.misleads
    for words in remedies:
        assert words in problem.remedy
    if placed == 4:
        assert "Set partitions" not in problem.remedy


def test_the_producers_choice_stops_no_worker() -> None:
    """Compaction loses events that were not read yet: a warning, which `verify` repeats."""
    spec = BY_NAME[TOPICS.event("send")]
    (problem,) = compare(spec, spec.partitions, {**spec.configs, "cleanup.policy": "compact"})
    assert problem.tolerable
    archive = BY_NAME[TOPICS.archive]
    found = compare(archive, archive.partitions, {**archive.configs, "cleanup.policy": "compact"})
    assert not any(one.tolerable for one in found)


def test_a_leader_without_all_records_is_watched_where_there_are_replicas() -> None:
    unclean = {"unclean.leader.election.enable": "true"}
    for replicas in (1, 3):
        for spec in specs(Settings(replication_factor=replicas)):
            found = compare(spec, spec.partitions, {**spec.configs, **unclean}, replicas=replicas)
            assert [one.setting for one in found] == list(unclean) * (replicas > 1)
            assert all(one.tolerable and "enable=false" in one.remedy for one in found)


def test_fewer_copies_than_set_are_wrong_and_stop_no_worker() -> None:
    three = {spec.name: spec for spec in specs(Settings(replication_factor=3))}
    for spec in three.values():
        assert compare(spec, spec.partitions, spec.configs, replicas=3) == []
        (problem,) = compare(spec, spec.partitions, spec.configs, replicas=1)
        assert (problem.setting, problem.found, problem.expected) == ("replicas", "1", "3")
        assert problem.tolerable
        configs = {**spec.configs, "min.insync.replicas": "1"}
        (problem,) = compare(spec, spec.partitions, configs, replicas=3)
        assert problem.setting == "min.insync.replicas"
        assert problem.tolerable
