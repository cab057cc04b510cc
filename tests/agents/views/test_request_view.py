"""Requests as the coordinator's log tells them; the log is written by the rules themselves."""

import asyncio
from typing import Any

import pytest

from agents.coordinator.rules import ledger
from agents.requests.facts import state_of
from agents.views.request_view import RequestView
from tests.rigs.desk import Desk

A, B = "campaign:a", "campaign:b"


class Reader:
    """Applies what a desk has written, as it comes or after compaction."""

    def __init__(self, desk: Desk, **bounds: Any) -> None:
        self.view = RequestView(**bounds)
        self._desk = desk
        self._read = 0

    def rest(self) -> RequestView:
        for key, value in self._desk.log[self._read :]:
            self.view.apply(key.encode(), value, self._read)
            self._read += 1
        return self.view


def desk_with_expired(*sources: str) -> Desk:
    desk = Desk()
    for source in sources:
        desk.expired(source)
    return desk


def test_a_request_and_its_parts_are_as_the_coordinator_has_them() -> None:
    desk = desk_with_expired(A)
    reader = Reader(desk)
    desk.command("restore", A, B, request_id="r", tag="t", reason="why", notify=("a@b",))
    view = reader.rest()
    found = view.get("r")
    assert found is not None
    assert (found.tag, found.reason, found.notify) == ("t", "why", ("a@b",))
    assert set(view.parts("r")) == {A, B}
    assert view.tally("r") == {"running": 1, "refused": 1}
    assert [one.request_id for one in view.running()] == ["r"]
    desk.finish(A)
    view = reader.rest()
    assert view.tally("r") == {"running": 0, "completed": 1, "refused": 1}
    assert view.running() == []


@pytest.mark.parametrize("cut", range(1, 12))
async def test_it_is_decided_once_every_part_has_been_read(cut: int) -> None:
    desk = desk_with_expired(A)
    reader = Reader(desk)
    reader.rest()
    before = len(desk.log)
    desk.command("restore", A, B, request_id="r")
    told = [key for key, _ in desk.log[before : before + cut]]
    view = RequestView()
    for key, value in desk.log[: before + cut]:
        view.apply(key.encode(), value, 0)
    whole = {"r/r", f"t/r\x1f{A}", f"t/r\x1f{B}"} <= set(told)
    assert view.decided("r") is whole
    if whole:
        async with asyncio.timeout(10):
            await view.until_decided("r")


@pytest.mark.parametrize("kind", ["hold", "restore"])
def test_a_request_is_over_once_the_end_of_each_part_has_been_read(kind: str) -> None:
    desk = desk_with_expired(A)
    desk.command(kind, A, B, request_id="r")
    if kind == "restore":
        desk.finish(A)
    view, found = RequestView(), []
    for offset, (key, value) in enumerate(desk.log):
        view.apply(key.encode(), value, offset)
        request = view.get("r")
        if request is not None:
            found.append((state_of(request, view), view.tally("r").total()))
    over = "failed"  # nobody knows B
    assert {one for one in found if one[0] != "running"} == {(over, 2)}
    assert found[-1] == (over, 2)


async def test_a_waiter_is_woken_by_what_is_read() -> None:
    desk = Desk()
    reader = Reader(desk)
    waiting = asyncio.create_task(reader.view.until_decided("p"))
    await asyncio.sleep(0)
    desk.command("pause", request_id="p")
    reader.rest()
    assert not waiting.done()
    await reader.view.advance(5)
    async with asyncio.timeout(10):
        await waiting


def test_pages_go_from_the_newest_on_and_lose_nothing_when_more_come() -> None:
    desk = Desk()
    reader = Reader(desk)
    for number in range(6):
        desk.command("pause", request_id=f"r{number}")
        desk.now += number % 2  # some have the same time
    view = reader.rest()
    everything = [one.request_id for one in view.newest()]
    assert everything == ["r5", "r4", "r3", "r2", "r1", "r0"]
    first = list(view.newest())[:2]
    desk.command("pause", request_id="r9")
    view = reader.rest()
    rest = list(view.newest((first[-1].time, first[-1].request_id)))
    assert [one.request_id for one in (*first, *rest)] == everything


def test_what_is_forgotten_by_the_coordinator_is_gone() -> None:
    desk = desk_with_expired(A)
    reader = Reader(desk)
    desk.command("restore", A, request_id="r")
    desk.finish(A)
    assert reader.rest().get("r") is not None
    desk.tick(desk.policy.requests_kept_ms + 86_400_000)
    view = reader.rest()
    assert view.get("r") is None
    assert view.parts("r") == {}
    assert list(view.newest()) == []
    assert not view._parts
    assert not view._tallies


def test_only_the_oldest_that_are_over_are_forgotten_where_there_are_many() -> None:
    desk = desk_with_expired(A)
    reader = Reader(desk, most_requests=10, most_parts=1_000)
    desk.command("restore", A, request_id="open")
    for number in range(30):
        desk.now += 1
        desk.command("hold", "campaign:none", request_id=f"r{number:02}")
    view = reader.rest()
    assert len(view) <= 10
    assert view.get("open") is not None
    assert next(view.newest()).request_id == "r29"
    parts = sum(len(found) for found in view._parts.values())
    assert (view._count, len(view._parts)) == (parts, len(view))


def test_parts_are_bounded_too() -> None:
    desk = Desk()
    reader = Reader(desk, most_requests=1_000, most_parts=50)
    for number in range(20):
        desk.now += 1
        desk.command("hold", *(f"campaign:{n}" for n in range(10)), request_id=f"r{number:02}")
    view = reader.rest()
    assert view._count <= 50
    assert view.get("r19") is not None
    assert len(view.parts("r19")) == 10


def test_changes_since_an_offset_are_listed_the_latest_first() -> None:
    desk = desk_with_expired(A)
    reader = Reader(desk)
    desk.command("restore", A, request_id="a")
    reader.rest()
    since = len(desk.log)
    desk.command("pause", request_id="b")
    desk.finish(A)
    view = reader.rest()
    assert list(view.changed_since(since)) == ["a", "b"]
    assert list(view.changed_since(len(desk.log))) == []


def test_other_records_of_the_log_change_nothing_and_damaged_ones_are_errors() -> None:
    view = RequestView()
    view.apply(b"s/campaign:a", b"{}", 1)
    view.apply(b"w", b"{}", 1)
    view.apply(None, b"{}", 1)
    with pytest.raises(ledger.Unreadable):
        view.apply(b"r/x", b"{", 1)
    assert len(view) == 0


def test_a_frozen_view_stays_as_it_was() -> None:
    desk = desk_with_expired(A)
    reader = Reader(desk)
    desk.command("restore", A, B, request_id="r")
    frozen = reader.rest().frozen("r")
    before = frozen.get("r"), dict(frozen.parts("r")), frozen.tally("r").copy()
    assert before[2] == {"running": 1, "refused": 1}
    assert before[0] is not None
    assert state_of(before[0], frozen) == "running"
    desk.finish(A)
    desk.command("restore", A, request_id="later")
    view = reader.rest()
    assert (frozen.get("r"), dict(frozen.parts("r")), frozen.tally("r")) == before
    assert [one.request_id for one in frozen.newest()] == ["r"]
    assert view.tally("r")["completed"] == 1
