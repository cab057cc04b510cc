"""Rejected records are listed from a topic that may be larger than the memory."""

from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakSet

from agents.cli import rejected


class Row(dict[str, Any]):
    """A row whose life can be watched."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Topic:
    """Rows with the times 0, 7, 14, ... modulo `count`, made one by one."""

    def __init__(self, count: int) -> None:
        self.most = 0
        self._count = count
        self._alive: WeakSet[Row] = WeakSet()

    async def rows(self) -> AsyncIterator[dict[str, Any]]:
        for number in range(self._count):
            row = Row(time=str(number * 7 % self._count), code="undecodable")
            self._alive.add(row)
            self.most = max(self.most, len(self._alive))
            yield row


async def test_of_the_last_ones_no_others_are_kept() -> None:
    topic = Topic(10_000)
    found = [int(row["time"]) async for row in rejected._last(topic.rows(), 25)]
    assert found == list(range(9_975, 10_000))
    assert topic.most <= 25 + 2


async def test_all_are_listed_and_a_bounded_number_is_kept() -> None:
    topic = Topic(10_000)
    found = [int(row["time"]) async for row in rejected._in_time(topic.rows())]
    assert sorted(found) == list(range(10_000))
    assert topic.most <= 1_000 + 2
    few = [int(row["time"]) async for row in rejected._in_time(Topic(900).rows())]
    assert few == list(range(900)), "in the order of their times"
