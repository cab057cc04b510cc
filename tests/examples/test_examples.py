"""Each program of examples/ does what its README says: with a real broker and a real worker."""

import asyncio
import re
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.tools.oracle import expect
from agents.users.partition import partition_of_user
from schemas.records import registry
from streams.kafka.topic_reader import Located
from streams.settings import load
from tests.rigs.example_story import (
    ALL_FACTS,
    PARTITIONS,
    SOURCE,
    TYPES,
    USERS,
    Story,
    decoded,
    tell,
)
from tests.rigs.examples import LANGUAGES

pytestmark = pytest.mark.connected


def needs(story: Story, language: str) -> None:
    """Skip a test of a language that cannot be tried here."""
    if language in story.missing:
        pytest.skip(story.missing[language])


@pytest.fixture(scope="module")
def story(broker: str, pytestconfig: pytest.Config) -> Iterator[Story]:
    folder = Path(tempfile.mkdtemp(prefix="examples-"))
    flags = {
        "bootstrap_servers": broker,
        "prefix": f"t{uuid.uuid4().hex[:10]}.",
        "partitions": PARTITIONS,
        "http_port": 0,
        "data_dir": folder / "data",
    }
    settings = load(flags, env={}, file=folder / "none.toml")
    yield asyncio.run(tell(settings, folder, pytestconfig.rootpath / ".pytest_cache/examples"))
    shutil.rmtree(folder)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_producer_says_that_the_brokers_have_all_events(story: Story, language: str) -> None:
    needs(story, language)
    done = story.produced[language]
    assert (done.code, done.out) == (0, f"{len(USERS) * len(TYPES)} events acknowledged\n"), done


def _of_each(story: Story) -> dict[str, list[Located]]:
    """The events by the value of their user and type: as many as there are languages."""
    found: dict[str, list[Located]] = {}
    for event, (name, fields) in zip(story.events, decoded(story.events), strict=True):
        found.setdefault(f"{name} {fields['user_id']}", []).append(event)
    return found


def test_all_languages_put_a_user_on_the_partition_that_is_the_users_shard(story: Story) -> None:
    for name, events in _of_each(story).items():
        user = name.partition(" ")[2]
        assert len(events) == len(story.produced), name
        assert {partition for _, partition, _ in events} == {partition_of_user(user, PARTITIONS)}
    hashes = {partition_of_user(user, 1 << 31) for user in USERS}
    assert len(hashes) == len(USERS)


def test_events_are_as_the_pages_ask_for(story: Story) -> None:
    events = decoded(story.events)
    assert len({event["id"] for _, event in events}) == len(story.events)
    assert {event["user_id"] for _, event in events} == set(USERS)
    for (_, _, record), (name, event) in zip(story.events, events, strict=True):
        assert record.key == event["user_id"].encode()
        assert int.from_bytes((record.value or b"")[1:5], "big") == registry.own_id(name)
        ((header, context),) = record.headers
        assert header == "traceparent"
        assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", context or b"")
        assert abs(event["time"] - record.timestamp) < 60_000
        assert event["campaign_id"] == "spring"
    contexts = Counter(record.headers[0][1] for _, _, record in story.events)
    assert set(contexts.values()) == {1}


def test_the_interactions_are_those_of_the_oracle(story: Story) -> None:
    wanted = expect(decoded(story.events))
    astray = [key for key in story.rows if key[1] == "astray"]
    assert {key: row for key, row in story.rows.items() if key not in astray} == wanted
    assert len(wanted) == len(USERS) * len(TYPES)


def test_only_an_event_on_another_partition_is_handed_on_and_it_counts_once(story: Story) -> None:
    assert story.handed_on["before"] == 0
    assert story.handed_on["after"] > 0
    assert [key[2] for key in story.rows if key[1] == "astray"] == ["received"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_consumer_prints_each_fact_once(story: Story, language: str) -> None:
    # not the aborted ones; not what is told again; not again after a crash
    needs(story, language)
    facts = [line.partition(": ")[0] for line in story.consumed[language]]
    assert sorted(facts) == sorted(ALL_FACTS)
    for fact in ("expired", "restored"):
        ordered = [one for one in facts if one.startswith(fact)]
        assert ordered == [one for one in ALL_FACTS if one.startswith(fact)]
    rows = {line.partition(": ")[2] for line in story.consumed[language] if SOURCE in line}
    assert rows == {f"{len(story.rows)} interactions"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_consumer_that_is_ended_has_committed_its_work(story: Story, language: str) -> None:
    needs(story, language)
    # a JVM that a signal ends says so
    assert story.exits[language] == (143 if language == "java" else 0)
    after_the_last = {topic: offset + 1 for topic, offset in story.last.items()}
    assert story.committed[language] == after_the_last


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_question_about_expired_data_is_refused_left_out_or_restored(
    story: Story, language: str
) -> None:
    needs(story, language)
    asked = {key: story.asked[f"{language} {key}"] for key in ("hot", "refused", "left out")}
    users = sorted([*USERS, "astray"])
    assert sorted(asked["hot"].out.splitlines()) == users
    refused = asked["refused"]
    assert (refused.code, refused.out) == (1, "")
    assert SOURCE in refused.error
    assert "ask with `exclude` or `restore`" in refused.error
    left_out = asked["left out"]
    assert (left_out.code, left_out.out) == (0, ""), left_out
    assert left_out.error == f"left out, expired: {SOURCE}\n"
    restored = story.asked[f"{language} restored"]
    assert sorted(restored.out.splitlines()) == users, restored
    assert restored.error == f"restoring: {SOURCE}\n"
