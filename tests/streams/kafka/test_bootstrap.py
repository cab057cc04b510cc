"""A broker that hangs accepts connections and answers nothing: no request may wait for it for
long.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

from agents.supervision.broker_gate import BrokerGate
from streams.kafka import bootstrap
from streams.kafka import topics as topic_admin
from streams.kafka.fetch import Fetcher
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.offsets import bounds
from streams.kafka.step import StepProducer
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings

#: Connecting to all hosts, one after the other, with each one's own time limit, takes longer.
SOON_S = 6.0
HUNG = 7


@contextmanager
def hung_hosts(count: int) -> Iterator[str]:
    """Addresses at which something listens that never says a word."""
    with ExitStack() as held:
        addresses = []
        for _ in range(count):
            listening = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            addresses.append(f"127.0.0.1:{listening.getsockname()[1]}")
        yield ",".join(addresses)


@pytest.fixture
def among_hung(
    settings: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """One broker that answers, named after many that hang, for who has heard of none yet."""
    with hung_hosts(HUNG) as hosts:
        monkeypatch.setattr(bootstrap, "_health", bootstrap._Health())
        yield replace(settings, bootstrap_servers=f"{hosts},{settings.bootstrap_servers}")


async def reading(settings: Settings) -> None:
    assert await read_all(KafkaLog(settings), Topics(settings.prefix).catalog) == []


async def fetching(settings: Settings) -> None:
    fetcher = Fetcher(settings, {(Topics(settings.prefix).catalog, 0): 0})
    await fetcher.start()
    await fetcher.close()


async def asking_for_bounds(settings: Settings) -> None:
    await bounds(settings, [(Topics(settings.prefix).catalog, 0)])


async def fencing(settings: Settings) -> None:
    producer = StepProducer(settings, f"{settings.prefix}id")
    await producer.start()
    await producer.close()


async def checking(settings: Settings) -> None:
    assert await topic_admin.check(settings) == []


async def sixteen_shards_at_the_gate(settings: Settings) -> None:
    gate = BrokerGate(KafkaLog(settings))
    await asyncio.gather(*(gate.passed() for _ in range(16)))


@pytest.mark.connected
@pytest.mark.parametrize(
    "work", [reading, fetching, asking_for_bounds, fencing, checking, sixteen_shards_at_the_gate]
)
async def test_hosts_that_hang_are_not_waited_for(
    among_hung: Settings, work: Callable[[Settings], Awaitable[None]]
) -> None:
    async with asyncio.timeout(SOON_S):
        await work(among_hung)


async def test_where_all_hosts_hang_that_is_said_soon() -> None:
    with hung_hosts(3) as hosts:
        began = time.monotonic()
        client = bootstrap.client(Settings(bootstrap_servers=hosts), "test", request_s=0.5)
        with pytest.raises(KafkaConnectionError):
            await client.bootstrap()
        await client.close()
        # together, and not one after the other
        assert time.monotonic() - began < 3 * 0.5 + 3 * bootstrap.NEXT_S


async def test_the_next_is_asked_when_the_first_is_slow_or_fails() -> None:
    asked: list[str] = []

    def one(name: str, outcome: Awaitable[str] | KafkaError) -> Callable[[], Awaitable[str]]:
        async def attempt() -> str:
            asked.append(name)
            if isinstance(outcome, KafkaError):
                raise outcome
            return await outcome

        return attempt

    loop = asyncio.get_running_loop()
    never: asyncio.Future[str] = loop.create_future()
    good: asyncio.Future[str] = loop.create_future()
    good.set_result("good")
    failed = one("failed", NodeNotReadyError())
    slow, last, spare = one("slow", never), one("good", good), one("spare", good)
    assert await bootstrap._raced([failed, slow, last, spare]) == "good"
    assert asked == ["failed", "slow", "good"]
    assert never.cancelled(), "who comes too late is not waited for"
    with pytest.raises(NodeNotReadyError):
        await bootstrap._raced([failed, failed])


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_cancellation_while_a_client_closes_is_heard(steps: int) -> None:
    """The library's own `close` drops it: it takes it for that of the task which it ends."""
    client = bootstrap.client(Settings(), "closes")

    async def metadata() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)

    client._sync_task = asyncio.create_task(metadata())
    await asyncio.sleep(0)

    async def uses() -> None:
        await client.close()
        await asyncio.Event().wait()

    task = asyncio.create_task(uses())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert task.cancelled()
    assert client._sync_task is None


async def test_what_comes_too_late_is_discarded() -> None:
    discarded: list[str] = []
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def waits(name: str) -> str:
        await ready
        return name

    racing = asyncio.create_task(
        bootstrap._raced([lambda: waits("one"), lambda: waits("two")], discarded.append)
    )
    await asyncio.sleep(bootstrap.NEXT_S * 2)  # until both are under way
    ready.set_result(None)
    won = await racing
    assert {won, *discarded} == {"one", "two"}


def test_brokers_that_were_silent_are_asked_last() -> None:
    health = bootstrap._Health()
    a, b, c = ("a", 1), ("b", 1), ("c", 1)
    health.silent(a)
    health.answered(c)
    assert sorted([a, b, c], key=health.rank) == [c, b, a]
    health.answered(a)
    assert sorted([a, b, c], key=health.rank) == [a, c, b]
