"""Real workers as separate processes, which fault tests kill and stop.

`Cluster` is a context manager that ends everything it has started. Every wait has a deadline; its
error says what it waited for and how the workers' logs end.
"""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from agents.tools.bench.field import free_port
from agents.tools.oracle import Interactions, row_key
from agents.tools.process import WorkerProcess
from agents.tools.publish import Chunk, publish
from schemas.records import codec
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import Located, read_all, read_table
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = [
    "SMALL",
    "Cluster",
    "Partial",
    "Slot",
    "define",
    "difference",
    "records",
    "small",
    "told_once",
    "until",
]

POLL_S = 0.1

SMALL: dict[str, object] = {
    "delta_rows": 400,
    "segment_rows": 150,
    "segment_bytes": "8kB",
    "own_rows": 60,
    "fan_in": 3,
    "step_bytes": "16kB",
    "late_rows": 60,
    "retention": "PT2S",
    "sweep_interval": "PT1S",
    "sweep_confirm_share": 1.0,
    "transaction_timeout": "PT6S",
    "memory_budget": "300MB",
}
"""So small that little data flushes, merges, shares segments and is archived late."""


def small(settings: Settings, **more: object) -> Settings:
    """These settings with those of `SMALL`, and with `more`."""
    return replace(settings, **{**SMALL, **more})  # type: ignore[arg-type]  # read by field, as in load


class Partial(Exception):
    """A worker did not answer in full: hidden, not ready, or gone while it answered.

    `status` is the HTTP status; 0 where the connection broke or the answer lacks its end.
    """

    def __init__(self, status: int, detail: str = "") -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


class Slot:
    """One worker: its port and data folder stay the same through all of its lives."""

    def __init__(self, settings: Settings, folder: Path, number: int, port: int) -> None:
        self.number = number
        self.settings = replace(settings, http_port=port, data_dir=folder / f"data-{number}")
        self.log = folder / f"worker-{number}.log"
        self.child: WorkerProcess | None = None
        self.variables: dict[str, str] = {}
        """Of the environment of its next life."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.settings.http_port}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.child is not None and self.child.running()

    def start(self) -> None:
        """Begin a life."""
        self.child = WorkerProcess(self.settings, self.log, self.variables)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.child is not None:
            self.child.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.child is not None:
            self.child.send(number)

    def tail(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""


class Cluster:
    """Workers that share a prefix. Started by hand, all ended when the `with` block ends."""

    def __init__(
        self, settings: Settings, folder: Path, workers: int = 2, *, named: bool = False
    ) -> None:
        """`named`: with static membership."""
        self.settings = settings
        ports = _free_ports(workers)
        names = [f"worker-{number}" if named else "" for number in range(workers)]
        self.slots = [
            Slot(replace(settings, group_instance_id=name), folder, number, port)
            for number, (name, port) in enumerate(zip(names, ports, strict=True))
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        for slot in self.slots:
            slot.signal(signal.SIGCONT)
            slot.kill()

    def start(self) -> None:
        """Start every worker that does not run."""
        for slot in self.slots:
            if not slot.alive:
                slot.start()

    def tails(self) -> str:
        """How the logs end."""
        return "\n".join(f"--- worker {slot.number}\n{slot.tail()}" for slot in self.slots)

    async def ready(self, seconds: float = 90.0, slots: Sequence[Slot] | None = None) -> None:
        """Wait until every worker (or each of `slots`) says that it is."""
        async with aiohttp.ClientSession() as session:
            for slot in self.slots if slots is None else slots:

                async def is_ready(slot: Slot = slot) -> bool:
                    if slot.child is not None:
                        assert slot.child.running(), f"the worker has ended: {slot.tail()}"
                    try:
                        async with session.get(f"{slot.url}/readyz") as answer:
                            return answer.status == 200
                    except aiohttp.ClientConnectionError:
                        return False  # it does not listen yet

                await until(is_ready, seconds, f"worker {slot.number} is ready", self.tails)

    async def states(self) -> dict[str, dict[str, Any]]:
        """The lifecycle record of every source, as lifecycle.state has it."""
        return await read_table(
            KafkaLog(self.settings), Topics(self.settings.prefix).state, "state"
        )

    async def states_are(self, wanted: Mapping[str, str], seconds: float = 120.0) -> None:
        """Wait until every source of `wanted` is in its state."""
        seen: dict[str, str] = {}

        async def arrived() -> bool:
            seen.update({key: record["state"] for key, record in (await self.states()).items()})
            return all(seen.get(source) == state for source, state in wanted.items())

        await until(arrived, seconds, f"states {wanted}", lambda: f"{seen}\n{self.tails()}")

    async def rows(
        self, session: aiohttp.ClientSession, source: str, slot: Slot | None = None
    ) -> Interactions:
        """A source's rows from one worker, a complete answer. Raises Partial for any other."""
        url = (slot or self.slots[0]).url + f"/sources/{source}/interactions?format=ndjson"
        try:
            async with session.get(url) as answer:
                body = await answer.text()
                if answer.status != 200:
                    raise Partial(answer.status, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Partial(0, type(error).__name__) from error
        lines = body.splitlines()
        end = json.loads(lines[-1]) if lines and lines[-1].endswith("}") else {}
        if end.get("complete") is not True:
            raise Partial(0, "no completion line")
        assert end["count"] == len(lines) - 1, f"{source}: the count differs from the rows"
        parsed = [json.loads(line) for line in lines[:-1]]
        found = {row_key(row): (row["first"], row["last"]) for row in parsed}
        assert len(found) == len(parsed), f"{source}: a key occurs in two rows"
        return found

    async def holds(
        self, expected: Interactions, sources: list[str], seconds: float = 90.0
    ) -> None:
        """Wait until the rows of `sources` are exactly those of `expected`."""
        wrong: dict[str, str] = {}

        async def equal() -> bool:
            wrong.clear()
            async with aiohttp.ClientSession() as session:
                for source in sources:
                    wanted = {key: span for key, span in expected.items() if key[0] == source}
                    try:
                        found = await self.rows(session, source)
                    except Partial as partial:
                        wrong[source] = str(partial)
                        return False
                    if found != wanted:
                        wrong[source] = difference(found, wanted)
                        return False
            return True

        await until(equal, seconds, "rows equal the oracle's", lambda: f"{wrong}\n{self.tails()}")


def _free_ports(count: int) -> list[int]:
    """Ports that differ: a port that was free may be given twice."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)


def difference(found: Interactions, wanted: Interactions) -> str:
    """The difference of two sets of rows, in short."""
    missing = [key for key in wanted if key not in found]
    extra = [key for key in found if key not in wanted]
    other = [key for key in wanted if key in found and found[key] != wanted[key]]
    return (
        f"{len(found)} rows, {len(wanted)} wanted; missing {len(missing)} {missing[:2]}; "
        f"extra {len(extra)} {extra[:2]}; other times {len(other)} {other[:2]}"
    )


async def until(
    condition: Callable[[], Awaitable[bool]],
    seconds: float,
    what: str,
    context: Callable[[], str] = str,
) -> None:
    """Poll until `condition` holds. Raises AssertionError, with context, after the deadline."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{context()}")
        await asyncio.sleep(POLL_S)


async def define(settings: Settings, key: str, status: str, updated_at: int, **more: Any) -> None:
    """Write a definition to the catalog."""
    record = {"key": key, "status": status, "name": key, "updated_at": updated_at} | more
    await publish(
        settings, [Chunk("catalog", [key.encode()], [codec.encode("definition", record)])]
    )


async def told_once(cluster: Cluster) -> tuple[int, int]:
    """Every expiry and every restore has one event, and the epochs of a source are consecutive, if
    all sources are visible. Returns how many expiries and restores there were.
    """
    topics = Topics(cluster.settings.prefix)
    expired = await records(cluster.settings, topics.expired, "expired")
    restored = await records(cluster.settings, topics.restored, "restored")
    ends = Counter((event["source"], event["epoch"]) for event in expired)
    returns = Counter((event["source"], event["epoch"]) for event in restored)
    assert {what: times for what, times in ends.items() if times > 1} == {}
    assert {what: times for what, times in returns.items() if times > 1} == {}
    events = [event["event_id"] for event in (*expired, *restored)]
    assert len(set(events)) == len(events)
    for source, state in (await cluster.states()).items():
        epochs = sorted(epoch for name, epoch in ends if name == source)
        assert epochs == list(range(1, len(epochs) + 1)), f"{source}: epochs {epochs}"
        assert state["epoch"] == len(epochs)
        assert sorted(epoch for name, epoch in returns if name == source) == epochs
    return len(expired), len(restored)


async def records(settings: Settings, topic: str, name: str) -> list[dict[str, Any]]:
    """Every committed record of a topic, decoded."""
    found: list[Located] = await read_all(KafkaLog(settings), topic)
    return [codec.decode(record.value or b"", name) for _, _, record in found]
