"""Fetches by topic id where brokers have no ids, or know other topics."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors as kafka_errors

from streams.kafka.fetch import Fetcher
from streams.kafka.fetch_by_id import FetchById, named, usable
from streams.kafka.fetch_protocol import FetchQuestion
from streams.kafka.log import Partition, ReaderOptions
from streams.settings import Settings

ONE, OTHER, NONE = "1" * 32, "2" * 32, "0" * 32
A: Partition = ("a", 0)


def answer(topic_id: str) -> Any:
    """An answer about one topic that has nothing for it."""
    return SimpleNamespace(topics=[(bytes.fromhex(topic_id), [], {})], error_code=0)


def test_topics_are_asked_for_by_id_only_where_each_has_one_of_its_own() -> None:
    assert usable({"a": ONE, "b": OTHER}) == {"a": ONE, "b": OTHER}
    assert usable({"a": NONE}) == {}
    # by one id for both, records of one topic would be taken for those of the other
    assert usable({"a": NONE, "b": NONE}) == {}
    assert usable({"a": ONE, "b": ONE}) == {}


def test_an_answer_about_another_topic_is_an_error_of_the_broker() -> None:
    with pytest.raises(kafka_errors.KafkaError, match=OTHER):
        named(answer(OTHER), {"a": ONE})


class _MixedCluster:
    """A cluster that is being upgraded: while one broker answers, another refuses ids."""

    def __init__(self, fetcher: Any) -> None:
        self.fetcher = fetcher

    async def send(self, node: int, request: object) -> Any:
        if not isinstance(request, FetchById):
            return SimpleNamespace(topics=[], API_VERSION=11)
        if node == 1:
            raise NotImplementedError
        await self.fetcher._response(self, 1, _question())
        return answer(ONE)


def _question() -> FetchQuestion:
    return FetchQuestion({A: 0}, 0, 1, 1, 1)


async def test_a_broker_without_ids_does_not_spoil_the_answer_of_another() -> None:
    fetcher: Any = Fetcher(Settings(), {A: 0}, ReaderOptions(ids={"a": ONE}))
    cluster = _MixedCluster(fetcher)
    assert (await fetcher._response(cluster, 0, _question())).topics == [("a", [])]
    assert fetcher._ids == {}
