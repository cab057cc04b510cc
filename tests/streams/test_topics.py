"""Topics on a real broker: made, found right, found wrong."""

import dataclasses

import pytest

from schemas.errors import Fatal, Recoverable
from streams.settings import Settings
from streams.topics import Topics, check, create, partitions

pytestmark = pytest.mark.connected


async def test_all_are_missing_then_made_then_right(settings: Settings) -> None:
    problems = await check(settings)
    assert {problem.setting for problem in problems} == {"topic"}
    names = Topics(settings.prefix).all()
    assert [problem.topic for problem in problems] == list(names)

    assert sorted(await create(settings)) == sorted(names)
    assert await check(settings) == []
    assert await create(settings) == []


async def test_another_number_of_shards_is_found(settings: Settings, topics: Topics) -> None:
    problems = await check(dataclasses.replace(settings, partitions=8))
    assert {problem.setting for problem in problems} == {"partitions"}
    assert {problem.found for problem in problems} == {"4"}
    assert topics.archive in {problem.topic for problem in problems}


async def test_partitions_of_all_topics(settings: Settings, topics: Topics) -> None:
    there = await partitions(settings)
    assert (there[topics.archive], there[topics.control]) == (4, 1)


async def test_more_replicas_than_brokers(settings: Settings) -> None:
    with pytest.raises(Fatal, match="refused to create topic") as caught:
        await create(dataclasses.replace(settings, replication_factor=50))
    assert "replication_factor" in caught.value.remedy


async def test_no_broker_there(settings: Settings) -> None:
    away = dataclasses.replace(settings, bootstrap_servers="127.0.0.1:1")
    with pytest.raises(Recoverable, match=r"127\.0\.0\.1:1 does not answer"):
        await check(away)
