"""Seeded events that are published while workers die, and the expected interactions."""

import asyncio
from random import Random
from typing import Any

from agents.tools.demo.chunk import EventChunk, avro_chunk
from agents.tools.oracle import Expected
from agents.tools.publish import Partitioner, Publisher
from streams.settings import Settings

__all__ = ["Traffic"]

START_MS = 1_760_000_000_000
EVENTS = ("send", "open", "click", "variant", "conversion")
WEIGHTS = (46, 24, 12, 12, 6)
CHANNELS = ("EMAIL", "PUSH", "SMS")
ALIASES = ("hero", "footer", None)
CHUNK = 60
LATE_MS = 600_000


class Traffic:
    """Events of a few sources and users, one chunk of one type at a time.

    The same seed publishes the same chunks in the same order; the time given to `run` determines
    how many. `expected` has everything that was passed to the producer; when `run` ends, the
    producer has delivered all of it.
    """

    def __init__(self, settings: Settings, seed: int, users: int = 240) -> None:
        self.expected = Expected()
        self.sources = [f"campaign:c{n}" for n in range(5)] + [f"canvas:j{n}" for n in range(3)]
        self._settings = settings
        self._rng = Random(f"traffic {seed}")
        self._users = [f"{self._rng.getrandbits(96):024x}" for _ in range(users)]
        self._clock = START_MS
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` end after the chunk at hand."""
        self._stopping.set()

    async def run(self, pause_s: float) -> None:
        """Publish a chunk, pause, and so on until `stop`."""
        async with Publisher(self._settings) as publisher:
            while not self._stopping.is_set():
                await self._publish(publisher)
                try:
                    await asyncio.wait_for(self._stopping.wait(), pause_s)
                except TimeoutError:
                    continue

    async def some(self, chunks: int) -> None:
        """Publish so many chunks and return when they are acknowledged."""
        async with Publisher(self._settings) as publisher:
            for _ in range(chunks):
                await self._publish(publisher)

    async def _publish(self, publisher: Publisher) -> None:
        chunk = self._chunk()
        for record in chunk.records():
            self.expected.add(chunk.event, record)
        await publisher.publish(chunk)
        await publisher.flush()

    def _chunk(self) -> EventChunk:
        rng = self._rng
        (event,) = rng.choices(EVENTS, WEIGHTS)
        # one producer in ten hashes as librdkafka does: its users are in the wrong partitions
        partitioner: Partitioner = "crc32" if rng.random() < 0.1 else "murmur2"
        rows = [self._row(event) for _ in range(rng.randint(1, CHUNK))]
        rows += rng.choices(rows, k=len(rows) // 20)  # delivered twice
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return avro_chunk(event, columns, partitioner)

    def _row(self, event: str) -> dict[str, Any]:
        rng = self._rng
        self._clock += rng.randint(1, 50)
        # a third of the events is of the first source, so that one is larger than the others
        source = self.sources[0] if rng.random() < 0.3 else rng.choice(self.sources)
        kind, _, bare = source.partition(":")
        canvas = kind == "canvas"
        row: dict[str, Any] = {
            "id": f"{rng.getrandbits(128):032x}",
            "user_id": rng.choice(self._users),
            "time": self._clock - (rng.randint(0, LATE_MS) if rng.random() < 0.1 else 0),
            "campaign_id": None if canvas else bare,
            "canvas_id": bare if canvas else None,
            "canvas_step_id": f"{bare}-s{rng.randint(1, 2)}" if canvas else None,
            "message_variation_id": None if canvas else f"{bare}-v{rng.randint(1, 3)}",
            "canvas_variation_id": f"{bare}-v{rng.randint(1, 2)}" if canvas else None,
        }
        if event in ("send", "open", "click"):
            row["channel"] = rng.choice(CHANNELS)
        if event == "open":
            row["machine_open"] = rng.random() < 0.3
        elif event == "click":
            row["link_alias"] = rng.choice(ALIASES)
            row["is_suspected_bot_click"] = rng.random() < 0.1
        elif event == "variant":
            row["in_control_group"] = rng.random() < 0.2
            row["exited"] = canvas and rng.random() < 0.2
        elif event == "conversion":
            row["conversion_behavior_index"] = rng.choice((0, 1, None))
        return row
