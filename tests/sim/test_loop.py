"""The simulation's event loop: the same seed gives the same history, and another one another."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sim.loop import CALM, WORKER, Limits, SimFailed, SimLoop, SimStuck, simulate

Main = Callable[[SimLoop], Awaitable[object]]


async def history(loop: SimLoop) -> tuple[list[int], str]:
    """Ten tasks that sleep and work in threads; the order in which they end."""
    found: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(0.01)
        await asyncio.to_thread(int)
        found.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))
    return found, loop.trace


def test_a_seed_gives_one_history_and_another_seed_another() -> None:
    first, again = simulate(1, history), simulate(1, history)
    assert first == again
    others = [simulate(seed, history) for seed in range(2, 12)]
    assert len({trace for _, trace in others}) == len(others)
    assert len({tuple(order) for order, _ in others}) > 5


def test_sets_of_tasks_and_futures_have_the_same_order_in_every_run() -> None:
    kept: list[object] = []

    async def main(loop: SimLoop) -> list[str]:
        tasks = [asyncio.create_task(asyncio.sleep(1), name=str(n)) for n in range(40)]
        kept.append(tasks)  # the next run has other addresses
        done, _ = await asyncio.wait(tasks)
        futures = {loop.create_future() for _ in range(40)}
        for number, future in enumerate(futures):
            future.set_result(number)
        return [task.get_name() for task in done] + [str(one.result()) for one in futures]

    assert simulate(1, main) == simulate(1, main)


def test_time_passes_at_once() -> None:
    async def main(loop: SimLoop) -> float:
        began = loop.time()
        await asyncio.sleep(86_400)
        async with asyncio.timeout(3_600):
            await asyncio.sleep(1_800)
        return loop.time() - began

    assert simulate(1, main) == pytest.approx(88_200, abs=1)


def test_callbacks_run_in_the_order_of_call_soon() -> None:
    async def main(loop: SimLoop) -> list[int]:
        found: list[int] = []
        for number in range(100):
            loop.call_soon(found.append, number)
        loop.call_soon_threadsafe(found.append, 100)
        await asyncio.sleep(0)
        return found

    for seed in range(5):
        assert simulate(seed, main) == list(range(101))


def test_work_in_a_thread_keeps_its_context_and_its_executor_its_order() -> None:
    pool = ThreadPoolExecutor(1)

    async def main(loop: SimLoop) -> tuple[str | None, list[int]]:
        async def named() -> str | None:
            return await asyncio.to_thread(WORKER.get)

        found: list[int] = []
        jobs = [loop.run_in_executor(pool, found.append, number) for number in range(50)]
        await asyncio.gather(*jobs)
        return await loop.start("a", named()), found

    for seed in range(5):
        assert simulate(seed, main) == ("a", list(range(50)))


def test_work_is_done_at_some_moment_before_its_result_is_there() -> None:
    async def main(loop: SimLoop) -> bool:
        done: list[int] = []
        job = loop.run_in_executor(None, done.append, 1)
        while not job.done():
            if done:
                return True
            await asyncio.sleep(0.0001)
        return False

    assert {simulate(seed, main) for seed in range(20)} == {True, False}


def test_cancelled_work_may_be_done_all_the_same() -> None:
    async def main(loop: SimLoop) -> bool:
        done: list[int] = []
        pool = ThreadPoolExecutor(1)
        jobs = [loop.run_in_executor(pool, done.append, number) for number in range(2)]
        await asyncio.sleep(0.0005)
        for job in jobs:
            job.cancel()
        await asyncio.sleep(1)
        assert 1 not in done or 0 in done
        return 1 in done

    assert {simulate(seed, main) for seed in range(50)} == {True, False}


def test_a_thread_has_no_loop() -> None:
    async def main(loop: SimLoop) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            await asyncio.to_thread(asyncio.get_running_loop)
        assert asyncio.get_running_loop() is loop

    simulate(1, main)


def test_a_killed_worker_never_runs_again() -> None:
    async def main(loop: SimLoop) -> list[str]:
        found: list[str] = []

        async def child() -> None:
            try:
                await asyncio.sleep(1)
                await asyncio.to_thread(found.append, "in a thread")
            finally:
                found.append("finally")
                await asyncio.sleep(1)

        async def works() -> None:
            asyncio.get_running_loop().call_later(2, found.append, "later")
            await asyncio.gather(child(), child())

        task = loop.start("a", works())
        other = loop.start("b", child())
        await asyncio.sleep(0.5)
        loop.kill("a")
        await other
        assert not task.done()
        await asyncio.sleep(10)
        assert len(loop.waiting()) == 1, "the test itself"
        return [*found]

    for seed in range(20):
        assert simulate(seed, main) == ["in a thread", "finally"]


def test_a_worker_is_killed_between_any_two_callbacks() -> None:
    async def main(loop: SimLoop, steps: int) -> int:
        found: list[int] = []

        async def works() -> None:
            for number in range(10):
                found.append(number)
                await asyncio.sleep(0)

        loop.start("a", works())
        loop.after_steps("a", steps, lambda: loop.kill("a"))
        await asyncio.sleep(1)
        return len(found)

    for steps in range(10):
        assert simulate(1, lambda loop, n=steps: main(loop, n)) == steps  # type: ignore[misc]


def test_a_frozen_worker_goes_on_where_it_was() -> None:
    async def main(loop: SimLoop) -> list[int]:
        found: list[int] = []

        async def works() -> None:
            for number in range(10):
                await asyncio.sleep(0.1)
                found.append(number)

        task = loop.start("a", works())
        await asyncio.sleep(0.45)
        loop.freeze("a", 20)
        await asyncio.sleep(19)
        assert len(found) == 4
        await task
        assert 20.4 < loop.time() - 1_000 < 21.5
        return found

    assert simulate(1, main, CALM) == list(range(10))


def test_a_run_that_can_not_go_on_says_where_its_tasks_wait() -> None:
    async def main(loop: SimLoop) -> None:
        async def waits_for_ever() -> None:
            await loop.create_future()

        await loop.start("a", waits_for_ever())

    with pytest.raises(SimStuck, match=r"nothing can happen(?s:.*)a task \d+: .* waits_for_ever"):
        simulate(1, main)


@pytest.mark.parametrize("limits", [Limits(steps=1_000), Limits(time_s=60)], ids=["steps", "time"])
def test_a_run_that_does_not_end_is_stuck(limits: Limits) -> None:
    async def main(loop: SimLoop) -> None:
        def again() -> None:
            loop.later(0.1, again)

        again()
        await loop.create_future()

    with pytest.raises(SimStuck, match="seed 7"):
        simulate(7, main, limits=limits)


def test_an_error_that_nothing_awaits_fails_the_run() -> None:
    async def main(loop: SimLoop) -> None:
        async def fails() -> None:
            raise ValueError("unexpected")

        loop.start("a", fails())
        await asyncio.sleep(100)

    with pytest.raises(SimFailed, match="unexpected"):
        simulate(1, main)


def test_what_a_run_leaves_ends_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    async def main(loop: SimLoop) -> None:
        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.sleep(1)
                except BaseException:
                    await asyncio.sleep(1)

        async def polite() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(100)

        for works in (stubborn, polite, stubborn):
            loop.start("a", works())
        await asyncio.sleep(0.5)

    simulate(1, main)
    assert capsys.readouterr().err == ""
