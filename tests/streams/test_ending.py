"""No cancellation is lost, and none interrupts work that must finish."""

import asyncio
from contextlib import suppress

import pytest

from streams import ending
from streams.ending import end_all, to_the_end, together, within


async def test_work_goes_to_its_end_and_the_cancellation_comes_after_it() -> None:
    begun, lets_go, done = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await lets_go.wait()
        done.append("closed")

    task = asyncio.create_task(to_the_end(work()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    lets_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["closed"]


async def test_what_the_work_gives_or_raises_is_passed_on() -> None:
    async def work(answer: int) -> int:
        if not answer:
            raise KeyError(answer)
        return answer

    assert await to_the_end(work(3)) == 3
    assert await within(10, work(3)) == 3
    with pytest.raises(KeyError):
        await to_the_end(work(0))
    with pytest.raises(KeyError):
        await within(10, work(0))


async def test_work_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "NOTICE_S", 0.01)
    ends = asyncio.Event()

    async def stubborn() -> None:
        while not ends.is_set():
            try:
                await ends.wait()
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(10):
        await within(0.01, stubborn())
    ends.set()
    await asyncio.sleep(0)


async def test_a_cancellation_within_the_work_is_not_the_callers() -> None:
    async def cancelled() -> int:
        raise asyncio.CancelledError

    assert await within(10, cancelled()) is None


async def test_a_cancellation_of_the_caller_is_not_the_works() -> None:
    begun = asyncio.Event()
    noticed = []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            noticed.append("cancelled")
            raise

    task = asyncio.create_task(within(10, work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert noticed == ["cancelled"]


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def fails(begin: asyncio.Event) -> None:
    await begin.wait()
    raise KeyError("of its own")


async def test_if_one_fails_the_others_end_and_its_error_is_raised() -> None:
    ended: list[str] = []
    begin = asyncio.Event()
    begin.set()
    with pytest.raises(BaseExceptionGroup) as found:
        await together(forever(ended), fails(begin), forever(ended))
    assert [type(error) for error in found.value.exceptions] == [KeyError]
    assert ended == ["ended", "ended"]


async def test_a_cancellation_while_one_has_failed_already_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here a TaskGroup of Python 3.11 raises its group, and the caller would continue."""
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)
    begin, lets_go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await to_the_end(closing())

    async def closing() -> None:
        closes.set()
        await lets_go.wait()

    closes = asyncio.Event()
    task = asyncio.create_task(together(slow(), fails(begin)))
    begin.set()
    await closes.wait()  # the group is ending
    task.cancel()
    await asyncio.sleep(0)
    lets_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_that_loses_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)

    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(together(deaf()))
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert task.cancelled()


async def test_tasks_are_cancelled_until_they_end_whatever_becomes_of_the_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ending, "AGAIN_S", 0.01)
    heard: list[str] = []

    async def deaf() -> None:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            heard.append("cancelled")
        raise KeyError("of its own")

    works = [asyncio.create_task(deaf()), asyncio.create_task(forever(heard))]
    task = asyncio.create_task(end_all(works))
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert task.cancelled()
    assert sorted(heard) == ["cancelled"] * 3 + ["ended"]
    assert [work.cancelled() for work in works] == [False, True]


async def test_nothing_to_end_is_no_wait() -> None:
    await end_all([])
