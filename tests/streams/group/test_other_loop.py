import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest

from streams.group.other_loop import run_in


@pytest.fixture
def other() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


async def test_it_runs_there_and_is_waited_for(other: asyncio.AbstractEventLoop) -> None:
    ran: list[asyncio.AbstractEventLoop] = []

    async def work() -> None:
        await asyncio.sleep(0)
        ran.append(asyncio.get_running_loop())

    await run_in(other, work, 10)
    assert ran == [other]


async def test_its_error_is_raised_here(other: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        raise ValueError("there")

    with pytest.raises(ValueError, match="there"):
        await run_in(other, work, 10)


async def test_its_cancellation_is_one_here(other: asyncio.AbstractEventLoop) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run_in(other, work, 10)


@pytest.mark.parametrize("broken", [False, True])
async def test_what_is_no_longer_waited_for_ends_by_itself(
    other: asyncio.AbstractEventLoop, broken: bool
) -> None:
    begun, go, ended = threading.Event(), asyncio.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await go.wait()
            if broken:
                raise ValueError("nobody hears this")
        finally:
            ended.set()

    waiting = asyncio.create_task(run_in(other, work, 10))
    await asyncio.to_thread(begun.wait, 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    other.call_soon_threadsafe(go.set)
    assert await asyncio.to_thread(ended.wait, 10)


async def test_a_loop_that_ends_first_leaves_no_coroutine_unawaited() -> None:
    loop = asyncio.new_event_loop()
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)

    waiting = asyncio.create_task(run_in(loop, work, 10))
    await asyncio.sleep(0)
    loop.close()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gc.collect()  # a coroutine never awaited would be a warning now, which is an error
    assert begun == []


async def test_a_loop_that_never_runs_is_not_waited_for_for_ever() -> None:
    loop = asyncio.new_event_loop()
    begun: list[int] = []

    async def work() -> None:
        begun.append(1)

    with pytest.raises(TimeoutError):
        await run_in(loop, work, 0.01)
    loop.call_soon(loop.stop)
    await asyncio.to_thread(loop.run_forever)
    loop.close()
    assert begun == [], "nobody waits for it any more"
