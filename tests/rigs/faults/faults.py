"""The faults: what each does to a story under load. By seed, they act at other instants."""

import asyncio
import errno
import resource
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import aiohttp
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streams.kafka.offsets import bounds
from streams.kafka.topic_specs import EVENTS
from streams.kafka.topics import Topics
from tests.rigs.faults.harness import Slot, until
from tests.rigs.faults.proxy import END_TXN, PRODUCE, Cut, Delayed, Held, Proxy, Request
from tests.rigs.faults.story import Story
from tests.rigs.faults.three_brokers import Node, ThreeBrokers

__all__ = [
    "BrokerFault",
    "ProxyFault",
    "ThreeFault",
    "below_min_insync",
    "broker_disk_full",
    "broker_killed",
    "clock_jumps",
    "coordinator_killed",
    "cut_and_delayed",
    "held_requests",
    "inputs_truncated",
    "killed",
    "one_frozen",
    "one_lost",
    "rolling_restart",
    "small_disks",
    "stalled_readers",
    "stopped_past_the_session",
    "stopped_two_generations",
    "store_damaged",
    "store_disk_full",
    "two_lost",
]

BrokerFault = Callable[[Story, Node], Awaitable[None]]
ThreeFault = Callable[[Story, ThreeBrokers], Awaitable[None]]
ProxyFault = Callable[[Story, Proxy], Awaitable[None]]
SESSION_S = 10.0
"""How long the group waits for a member, about."""
HOLD_S = (6.5, 9.0)
"""Longer than the time-out of a transaction in these settings."""
END_MS = 5_000
"""So long a worker may take from SIGTERM to its end."""
SMALL_FILE = 16_384
DISK_MB = 24


async def killed(story: Story) -> None:
    """SIGKILL, a few times."""
    for _ in range(4):
        await story.pause(0.3, 5.0)
        story.rng.choice(story.cluster.slots).kill()
        story.did["killed"] += 1


async def stopped_past_the_session(story: Story) -> None:
    """SIGSTOP until the group has given the shards away; it wakes while others commit, and may
    have stopped within a commit itself."""
    slot = story.rng.choice(story.cluster.slots)
    await story.pause(0.5, 3.0)
    slot.signal(signal.SIGSTOP)
    await story.pause(SESSION_S + 1.0, SESSION_S + 5.0)
    slot.signal(signal.SIGCONT)
    story.did["woken"] += 1
    await story.pause(3.0, 6.0)


async def stopped_two_generations(story: Story) -> None:
    """As before; meanwhile the group has two generations more, and no event comes any more: only
    a proof of ownership can keep the worker from answering as of before."""
    still = story.rng.choice(story.cluster.slots)
    other = next(slot for slot in story.cluster.slots if slot is not still)
    await story.pause(0.5, 3.0)
    still.signal(signal.SIGSTOP)
    await story.pause(SESSION_S + 1.0, SESSION_S + 3.0)
    story.left.add(still.number)
    other.kill()
    await story.pause(SESSION_S + 1.0, SESSION_S + 3.0)
    await story.cluster.ready(120.0, [other])
    story.traffic.stop()
    await story.pause(0.5, 2.0)
    still.signal(signal.SIGCONT)
    story.left.clear()
    story.did["woken in silence"] += 1
    await story.pause(4.0, 6.0)


async def rolling_restart(story: Story) -> None:
    """SIGTERM to each worker in turn, under load; the next when the one before is ready. None takes
    5 s to end; with static membership no shard moves.
    """
    slots = story.cluster.slots
    named = bool(slots[0].settings.group_instance_id)
    generation = await _generation(slots[0])
    for slot in slots:
        assert slot.child is not None
        begun = time.monotonic()
        slot.signal(signal.SIGTERM)
        assert await asyncio.to_thread(slot.child.wait, 30.0) == 0, slot.tail()
        took_ms = int((time.monotonic() - begun) * 1000)
        assert took_ms < END_MS, f"{took_ms} ms to end: {slot.tail()}"
        story.did["slowest end, ms"] = max(story.did["slowest end, ms"], took_ms)
        story.did["restarted"] += 1
        if slot.number == 0:
            story.did["with static membership"] += named
        await asyncio.sleep(0.5)
        await story.cluster.ready(120.0, [slot])
    if named:
        assert {await _generation(slot) for slot in slots} == {generation}, story.cluster.tails()


async def _generation(slot: Slot) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{slot.url}/status") as answer:
        return int((await answer.json())["generation"])


async def stalled_readers(story: Story) -> None:
    """Clients that ask for rows and read none of them."""
    held: list[asyncio.StreamWriter] = []
    try:
        for number in range(24):
            slot = story.rng.choice(story.cluster.slots)
            source = story.rng.choice(story.traffic.sources)
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", slot.settings.http_port)
                path = f"/sources/{source}/interactions?format=ndjson"
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 3)
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                held.append(writer)
            if number % 8 == 7:
                await story.pause(0.5, 3.0)
        story.did["stalled"] += len(held)
        await story.pause(4.0, 8.0)
    finally:
        for writer in held:
            writer.close()


async def store_damaged(story: Story) -> None:
    """Files of local stores are cut, flipped or deleted while the worker runs; then it is killed,
    or goes on."""
    for _ in range(3):
        await story.pause(1.0, 4.0)
        slot = story.rng.choice(story.cluster.slots)
        for file in _some_files(slot, story.rng):
            story.did[_damage(file, story.rng)] += 1
        if story.rng.random() < 0.7:
            slot.kill()
        await story.pause(2.0, 5.0)


def _some_files(slot: Slot, rng: Random) -> list[Path]:
    files = sorted(one for one in slot.settings.data_dir.rglob("*") if one.is_file())
    inside = [one for one in files if one.name not in ("LOCK", "LOG")]
    return rng.sample(inside, min(len(inside), rng.choice((1, 3, 10))))


def _damage(file: Path, rng: Random) -> str:
    # what it compacts meanwhile is gone: no damage then
    with suppress(FileNotFoundError):
        how = rng.choice(("cut", "flipped", "deleted"))
        size = file.stat().st_size
        if how == "deleted":
            file.unlink()
        elif how == "cut":
            with file.open("r+b") as opened:
                opened.truncate(rng.randrange(size + 1))
        elif size:
            with file.open("r+b") as opened:
                at = rng.randrange(size)
                opened.seek(at)
                byte = opened.read(1)
                opened.seek(at)
                opened.write(bytes((byte[0] ^ 1 << rng.randrange(8),)))
        return how
    return "gone already"


async def inputs_truncated(story: Story) -> None:
    """What the shards have folded is deleted from the event topics while they read on."""
    topics = [Topics(story.settings.prefix).event(name) for name in EVENTS]
    places = [(topic, p) for topic in topics for p in range(story.settings.partitions)]
    client = AIOKafkaAdminClient(bootstrap_servers=story.settings.bootstrap_servers)
    await client.start()
    try:
        for _ in range(3):
            await story.pause(1.0, 3.0)
            ends = {
                place: end for place, (_, end) in (await bounds(story.settings, places)).items()
            }

            async def folded(ends: Mapping[tuple[str, int], int] = ends) -> bool:
                cursors = await _cursors(story)
                return all(cursors.get(place, 0) >= end for place, end in ends.items() if end)

            await until(folded, 60, "all of it is folded", story.cluster.tails)
            await client.delete_records(
                {TopicPartition(*place): RecordsToDelete(end) for place, end in ends.items() if end}
            )
            story.did["truncated"] += 1
    finally:
        await client.close()


async def _cursors(story: Story) -> dict[tuple[str, int], int]:
    """The cursors of all shards, as their workers say."""
    found: dict[tuple[str, int], int] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for slot in story.cluster.slots:
            with suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with session.get(f"{slot.url}/status") as answer:
                    for shard in (await answer.json())["shards"]:
                        for topic, offset in shard["cursor"].items():
                            found[topic, shard["partition"]] = offset
    return found


@contextmanager
def _full(pid: int, largest: int) -> Iterator[None]:
    """No file of the process can grow beyond `largest` bytes: what it writes fails."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disks(folders: Sequence[Path]) -> Iterator[None]:
    """Each folder is a disk of its own of a few megabytes. Raises PermissionError without root."""
    mounted: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir(mode=0o700)
            how = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0700", "none", str(folder)]
            if subprocess.run(how, capture_output=True, check=False).returncode:
                raise PermissionError("no disk can be made here")
            mounted.append(folder)
        yield
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


async def store_disk_full(story: Story) -> None:
    """The disk of a worker's stores has no room left: in a life that goes on, or from a start on.
    The folders are `small_disks`."""
    for _ in range(3):
        await story.pause(0.5, 3.0)
        slot = story.rng.choice(story.cluster.slots)
        filler = slot.settings.data_dir / "filler"
        story.did["blocks"] += await asyncio.to_thread(_fill, filler)
        if story.rng.random() < 0.5:
            slot.kill()
        try:
            await story.pause(4.0, 10.0)
            # what was freed meanwhile is taken too
            story.did["blocks"] += await asyncio.to_thread(_fill, filler)
            await story.pause(1.0, 3.0)
        finally:
            await asyncio.to_thread(filler.unlink)


def _fill(file: Path) -> int:
    """Take all room that is left; how many blocks that were."""
    count = 0
    with file.open("ab", buffering=0) as opened:
        while True:
            try:
                opened.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return count
            count += 1


async def clock_jumps(story: Story, offset: Path) -> None:
    """The clock of the workers jumps forth and back: their time is the machine's plus what a file
    says (tests/rigs/faults/shifted.py)."""
    for _ in range(5):
        await story.pause(0.5, 3.0)
        jump = story.rng.choice((-86_400, -3_600, -61, 61, 3_600, 86_400, 40 * 86_400))
        offset.write_text(str(jump))  # noqa: ASYNC240
        story.did["jumps"] += 1
    await story.pause(1.0, 3.0)
    offset.write_text("0")  # noqa: ASYNC240


async def broker_killed(story: Story, broker: Node) -> None:
    """The only broker is killed, within transactions, and comes back."""
    for _ in range(2):
        await story.pause(1.0, 4.0)
        broker.kill()
        story.did["broker killed"] += 1
        await story.pause(0.1, 4.0)
        broker.start()
        await asyncio.to_thread(broker.await_answer)


async def broker_disk_full(story: Story, broker: Node) -> None:
    """The broker's logs cannot grow: it gives up its folder and ends; then there is room again."""
    await story.pause(1.0, 4.0)
    with suppress(ProcessLookupError), _full(broker.pid, SMALL_FILE):
        story.did["full"] += 1
        await story.pause(3.0, 8.0)
    if broker.running():
        broker.kill()
    else:
        broker.kill()
        story.did["the broker had ended"] += 1
    broker.start()
    await asyncio.to_thread(broker.await_answer)


async def one_lost(story: Story, three: ThreeBrokers) -> None:
    """One of three brokers is killed, and comes back later."""
    await _lost(story, three, 1)


async def two_lost(story: Story, three: ThreeBrokers) -> None:
    """Two of three brokers are killed: neither quorum nor enough replicas are left."""
    await _lost(story, three, 2)


async def _lost(story: Story, three: ThreeBrokers, count: int) -> None:
    await story.pause(0.5, 3.0)
    nodes = story.rng.sample(three.nodes, count)
    for node in nodes:
        node.kill()
        story.did["lost"] += 1
        await story.pause(0.0, 1.0)
    await story.pause(4.0, 14.0)
    for node in nodes:
        node.start()
    for node in nodes:
        await asyncio.to_thread(node.await_answer)


async def one_frozen(story: Story, three: ThreeBrokers) -> None:
    """One of three brokers hangs, longer than requests and sessions wait."""
    await story.pause(0.5, 3.0)
    node = story.rng.choice(three.nodes)
    node.freeze()
    story.did["frozen"] += 1
    try:
        await story.pause(5.0, 20.0)
    finally:
        node.thaw()


async def below_min_insync(story: Story, three: ThreeBrokers) -> None:
    """One broker is lost while every topic of ours needs three replicas: the quorum is intact, and
    no write is taken."""
    await one_lost(story, three)


async def held_requests(story: Story, proxy: Proxy) -> None:
    """A Produce and an EndTxn of a transaction, in an order by seed, are held for longer than
    transactions last, and delivered then."""
    for api in story.rng.sample((PRODUCE, END_TXN), 2):
        await story.pause(0.5, 2.0)
        seen, seconds = asyncio.Event(), story.rng.uniform(*HOLD_S)

        def rule(
            request: Request, api: int = api, seen: asyncio.Event = seen, seconds: float = seconds
        ) -> Held | None:
            if seen.is_set() or request.api != api or not request.transactional_id:
                return None
            seen.set()
            return Held(seconds)

        proxy.rule = rule
        await asyncio.wait_for(seen.wait(), 30)
        await proxy.settled()
    proxy.rule = lambda request: None
    story.did += proxy.seen


async def cut_and_delayed(story: Story, proxy: Proxy) -> None:
    """Requests come late, or half and never again."""

    def rule(request: Request) -> Delayed | Cut | None:
        chance = story.rng.random()
        if chance < 0.02:
            return Cut()
        return Delayed(story.rng.uniform(0.0, 1.5)) if chance < 0.08 else None

    proxy.rule = rule
    await story.pause(8.0, 15.0)
    proxy.rule = lambda request: None
    story.did += proxy.seen


async def coordinator_killed(story: Story, proxy: Proxy) -> None:
    """The worker with the coordinator is killed as its transaction is about to end, or just has."""
    for number in range(5):
        await story.pause(0.3, 2.0)
        holders = [slot for slot in story.cluster.slots if await _coordinates(slot)]
        seen, left = asyncio.Event(), iter(range(story.rng.randrange(4)))

        def rule(
            request: Request, seen: asyncio.Event = seen, left: Iterator[int] = left
        ) -> Delayed | None:
            if seen.is_set() or "coordinator" not in request.transactional_id:
                return None
            if next(left, None) is not None:
                return None
            seen.set()
            return Delayed(0.3)  # within this time the worker is killed

        proxy.rule = rule
        with suppress(TimeoutError):
            await asyncio.wait_for(seen.wait(), 15)
        if number % 2:
            await asyncio.sleep(0.4)  # it has arrived, and its answer too
        for slot in holders:
            slot.kill()
            story.did["coordinator killed"] += 1
        await story.pause(1.0, 3.0)
    proxy.rule = lambda request: None


async def _coordinates(slot: Slot) -> bool:
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        timeout = aiohttp.ClientTimeout(total=3.0)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{slot.url}/status") as answer,
        ):
            return bool((await answer.json())["coordinator"])
    return False
