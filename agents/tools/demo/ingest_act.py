"""Part one of the demo: a day of events is ingested, and the hot rows equal the oracle's."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping

from agents.tools.demo.facts import Facts, difference
from agents.tools.demo.scenario import Scenario
from agents.tools.demo.screen import Screen
from agents.tools.demo.worker import DemoWorker
from agents.tools.oracle import Interactions, counts
from agents.tools.publish import Publisher
from schemas.errors import Fatal
from schemas.words.plural import plural
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["ingest"]

INGEST_S = 120.0
POLL_S = 0.1
SHOWN_SOURCES = 8


async def ingest(
    settings: Settings, scenario: Scenario, worker: DemoWorker, facts: Facts, screen: Screen
) -> None:
    """Publish everything, wait until it is folded, compare all rows with the oracle's."""
    topics = Topics(settings.prefix)
    screen.act(f"A day of {scenario.total:,} events from several producers")
    rate = _Rate(worker, topics, scenario.total, screen)
    async with Publisher(settings) as publisher:
        for opening in scenario.opening:
            await publisher.publish(opening)
        await publisher.flush()
        publisher.published = 0
        following = asyncio.create_task(rate.follow(publisher))
        try:
            for chunk in scenario.events:
                await publisher.publish(chunk)
            await publisher.flush()
            facts.events = publisher.published
            await asyncio.wait_for(following, INGEST_S)
        except TimeoutError:
            raise Fatal(
                f"Only {rate.ingested:,} of {publisher.published:,} events were taken in after "
                f"{INGEST_S:.0f} s",
                remedy=f"See {worker.log}",
            ) from None
        finally:
            following.cancel()
    await _settled(settings, scenario, worker, facts, screen)
    codes = Counter(
        dict(record.headers).get("code") or b"none"
        for _, _, record in await read_all(KafkaLog(settings), topics.rejected)
    )
    rejected = Counter({code.decode(): number for code, number in codes.items()})
    facts.rejected = rejected.total()
    if scenario.rejected or rejected:
        facts.claim(
            screen,
            f"{scenario.rejected.total()} malformed events were rejected, each with its reason",
            rejected == scenario.rejected,
            f"{dict(rejected)}, not {dict(scenario.rejected)}",
        )
    await _compare(worker, scenario.expected, scenario.names, facts, screen)


class _Rate:
    """Follows and shows how many events are folded."""

    def __init__(self, worker: DemoWorker, topics: Topics, total: int, screen: Screen) -> None:
        self.ingested = 0
        self._worker = worker
        self._topics = frozenset(topics.events.values())
        self._total = total
        self._screen = screen

    async def follow(self, publisher: Publisher) -> None:
        """Run until every event is folded."""
        start = time.monotonic()
        while self.ingested < self._total:
            self._worker.check()
            self.ingested = await self._folded()
            seconds = time.monotonic() - start
            last = self.ingested >= self._total
            self._screen.live(
                f"published {publisher.published:>9,}   ingested {self.ingested:>9,}   "
                f"{self.ingested / seconds:>9,.0f} events/s   {seconds:4.1f} s",
                last=last,
            )
            if not last:
                await asyncio.sleep(POLL_S)

    async def _folded(self) -> int:
        """Sum of the shards' cursors: the topics are new, so offsets are counts."""
        status = await self._worker.status()
        return sum(
            offset
            for shard in status["shards"]
            for topic, offset in shard["cursor"].items()
            if topic in self._topics
        )


async def _settled(
    settings: Settings, scenario: Scenario, worker: DemoWorker, facts: Facts, screen: Screen
) -> None:
    """Misplaced events were forwarded, and have arrived."""
    topic = Topics(settings.prefix).repartition
    located = await read_all(KafkaLog(settings), topic)
    ends: dict[int, int] = {}
    for _, partition, record in located:
        ends[partition] = max(ends.get(partition, 0), record.offset + 1)
    until = time.monotonic() + INGEST_S
    while behind := _behind(await worker.status(), topic, ends):
        worker.check()
        if time.monotonic() > until:
            raise Fatal(f"Forwarded events were not taken in: {behind}", remedy=str(worker.log))
        await asyncio.sleep(POLL_S)
    facts.forwarded = len(located)
    if scenario.forwarded or located:
        facts.claim(
            screen,
            f"{scenario.forwarded:,} events that a CRC32 partitioner had misplaced were forwarded",
            len(located) == scenario.forwarded,
            f"{len(located):,} were forwarded",
        )


def _behind(status: Mapping[str, object], topic: str, ends: Mapping[int, int]) -> dict[int, int]:
    shards = status["shards"]
    assert isinstance(shards, list)
    cursors = {shard["partition"]: shard["cursor"].get(topic, 0) for shard in shards}
    return {p: end for p, end in ends.items() if cursors.get(p, 0) < end}


async def _compare(
    worker: DemoWorker,
    expected: Interactions,
    names: Mapping[str, str],
    facts: Facts,
    screen: Screen,
) -> None:
    sizes = counts(expected)
    found: Interactions = {}
    for source in sizes:
        found |= await worker.rows(source)
    facts.interactions = len(found)
    largest = sorted(sizes, key=lambda source: -sizes[source])[:SHOWN_SOURCES]
    screen.table(
        ("hot now, largest first", "", "interactions"),
        [(source, names.get(source, ""), sizes[source]) for source in largest],
    )
    rest = len(sizes) - len(largest)
    screen.line(f"... and {rest} more {plural(rest, 'source')}" * (rest > 0))
    facts.claim(
        screen,
        f"all {len(expected):,} interactions of {len(sizes)} sources, read over HTTP, equal "
        "those of an oracle in plain dictionaries",
        found == expected,
        difference(found, expected),
    )
