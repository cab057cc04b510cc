"""Generates a seeded, realistic day: definitions, users, and events of several producers.

Pure: the same arguments give the same bytes. People and machines open, people and bots click. There
are control groups, Canvas exits, late events and duplicates, a few malformed events, some events as
JSON, and a producer that hashes keys by CRC32.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Any, TypeAlias

from agents.tools.demo.catalog import Catalog, DemoSource, make_catalog
from agents.tools.demo.chunk import EventChunk, avro_chunk
from agents.tools.demo.malformed import MALFORMED, malformed

__all__ = ["SPAN_MS", "Day", "generate"]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
SPAN_MS = DAY_MS + 5 * HOUR_MS
"""A day, and the hours within which people react to its last messages."""
CHUNK = 60_000
MIX = {"send": 46, "open": 22, "click": 9, "variant": 16, "conversion": 5, "signal": 2}
CRC32_SHARE = 0.04
JSON_SHARE = 0.005
LATE_SHARE = 0.02
DUPLICATE_SHARE = 0.01
EVENTS_A_USER = 10
ALIASES = ("hero", "footer", "unsubscribe", "cta", None)
SIGNALS = ("HARD_BOUNCE", "SPAM_REPORT", "INBOUND_KEYWORD", "FEED_VIEW", "FEATURE_FLAG")

Columns: TypeAlias = dict[str, list[Any]]
Shape: TypeAlias = tuple[DemoSource, str | None]
Message: TypeAlias = tuple[int, Shape, int]
"""Who (an index), by which source and step, when (milliseconds)."""


@dataclass(frozen=True)
class Day:
    """A day's records. `chunks()` may be called again and gives the same chunks."""

    seed: int
    events: int
    start_ms: int
    catalog: Catalog
    user_ids: list[str]

    @property
    def rejected(self) -> int:
        """The number of malformed events."""
        return len(MALFORMED) if self.events > 10 * len(MALFORMED) else 0

    def users(self) -> Iterator[dict[str, Any]]:
        """The roster."""
        for number, user in enumerate(self.user_ids):
            aliases = [f"device-{user[:8]}"] if number % 7 == 0 else []
            yield {"user_id": user, "external_user_id": f"customer-{number}", "aliases": aliases}

    def chunks(self) -> Iterator[EventChunk]:
        """Exactly `events` events in order of time, one chunk for each type and producer at a
        time.
        """
        rng = Random(f"events {self.seed}")
        valid = self.events - self.rejected
        for start in range(0, valid, CHUNK):
            rows = min(CHUNK, valid - start)
            span = (self.start_ms + DAY_MS * start // valid, max(1, DAY_MS * rows // valid))
            crc32, typed = round(rows * CRC32_SHARE), round(rows * JSON_SHARE)
            for event, columns in self._stretch(rng, rows - crc32 - typed, span):
                yield avro_chunk(event, columns)
            for event, columns in self._stretch(rng, crc32, span):
                yield avro_chunk(event, columns, "crc32")
            for event, columns in self._stretch(rng, typed, span):
                yield _json_chunk(event, columns)
            if start == 0 and self.rejected:
                users = rng.choices(self.user_ids, k=len(MALFORMED))
                yield from malformed(users, self.start_ms)

    @cached_property
    def _shapes(self) -> tuple[list[Shape], list[float]]:
        """Every (source, step) with cumulative weights."""
        shapes: list[Shape] = []
        weights = []
        for source in self.catalog.sources:
            steps: tuple[str | None, ...] = source.steps or (None,)
            shapes += [(source, step) for step in steps]
            weights += [source.weight / len(steps)] * len(steps)
        return shapes, list(accumulate(weights))

    def _stretch(
        self, rng: Random, rows: int, span: tuple[int, int]
    ) -> Iterator[tuple[str, Columns]]:
        """`rows` events of all types in a period of time `(from, milliseconds)`."""
        sizes = {event: rows * share // 100 for event, share in MIX.items()}
        sizes["send"] += rows - sum(sizes.values())
        if not rows:
            return
        # held-out users get no message: their neighbour, who is in another tenth, gets it
        sends = [
            (m[0] ^ 1, m[1], m[2]) if _control(m) else m
            for m in self._draw(rng, sizes["send"], span)
        ]
        opens = _after(rng, sends, sizes["open"], HOUR_MS)
        clicks = _after(rng, opens or sends, sizes["click"], HOUR_MS // 30)
        sold = _after(rng, clicks or sends, sizes["conversion"], 3 * HOUR_MS)
        entries = self._draw(rng, sizes["variant"], span)
        facts = self._draw(rng, sizes["signal"], span)
        drawn = {"send": sends, "open": opens, "click": clicks, "variant": entries,
                 "conversion": sold, "signal": facts}  # fmt: skip
        for event, messages in drawn.items():
            if messages:
                yield event, self._columns(rng, event, messages)

    def _draw(self, rng: Random, rows: int, span: tuple[int, int]) -> list[Message]:
        shapes, weights = self._shapes
        start, length = span
        users, random = len(self.user_ids), rng.random
        who = [int(random() * users) for _ in range(rows)]
        when = sorted(start + int(random() * length) for _ in range(rows))
        return list(zip(who, rng.choices(shapes, cum_weights=weights, k=rows), when, strict=True))

    def _columns(self, rng: Random, event: str, messages: list[Message]) -> Columns:
        rows, random = len(messages), rng.random
        ids = rng.randbytes(16 * rows).hex()
        late = [int(-72 * HOUR_MS * random()) if random() < LATE_SHARE else 0 for _ in messages]
        columns: Columns = {
            "id": [ids[at : at + 32] for at in range(0, 32 * rows, 32)],
            "user_id": [self.user_ids[user] for user, _, _ in messages],
            "time": [m[2] + back for m, back in zip(messages, late, strict=True)],
        }
        if event == "signal":
            columns["signal_type"] = rng.choices(SIGNALS, k=rows)
            columns["value"] = rng.choices((None, "yes", "beta"), k=rows)
            return _repeat_some(rng, columns)
        shapes = [shape for _, shape, _ in messages]
        columns |= {
            "campaign_id": [None if s.is_canvas else s.id for s, _ in shapes],
            "canvas_id": [s.id if s.is_canvas else None for s, _ in shapes],
            "canvas_step_id": [step for _, step in shapes],
            "message_variation_id": [None if m[1][0].is_canvas else _variant(m) for m in messages],
            "canvas_variation_id": [_variant(m) if m[1][0].is_canvas else None for m in messages],
        }
        if event in ("send", "open", "click"):
            columns["channel"] = [s.channel for s, _ in shapes]
        if event == "open":
            columns["machine_open"] = [random() < 0.3 for _ in range(rows)]
        elif event == "click":
            columns["link_alias"] = rng.choices(ALIASES, k=rows)
            columns["is_suspected_bot_click"] = [random() < 0.05 for _ in range(rows)]
        elif event == "conversion":
            columns["conversion_behavior_index"] = rng.choices((0, 0, 1, 2, 3, None), k=rows)
        elif event == "variant":
            columns["canvas_step_id"] = [None] * rows
            columns["in_control_group"] = [_control(m) for m in messages]
            columns["exited"] = [
                s.is_canvas and not _control(m) and random() < 0.2
                for m, (s, _) in zip(messages, shapes, strict=True)
            ]
        return _repeat_some(rng, columns)


def generate(seed: int = 7, events: int = 300_000, start_ms: int = 1_760_000_000_000) -> Day:
    """A day of exactly `events` events that begins at `start_ms`, with `events / 10` users.

    All its valid events are within SPAN_MS from then, except late ones, which are older.
    """
    rng = Random(f"day {seed}")
    # an even number: see where held-out users' messages go
    count = max(10, events // EVENTS_A_USER // 2 * 2)
    users = [f"{rng.getrandbits(96):024x}" for _ in range(count)]
    return Day(seed, events, start_ms, make_catalog(rng, start_ms), users)


def _control(message: Message) -> bool:
    """Whether the user is in the source's control group: one in ten, always the same ones."""
    user, (source, _), _ = message
    return user % 10 == len(source.name) % 10


def _variant(message: Message) -> str:
    """The variation that the user has in the source: always the same one."""
    user, (source, _), _ = message
    return source.variations[user % len(source.variations)]


def _after(rng: Random, messages: list[Message], rows: int, within_ms: int) -> list[Message]:
    """Reactions to some of the messages, each up to `within_ms` later."""
    random = rng.random
    return [
        (user, shape, time + 1000 + int(random() ** 3 * within_ms))
        for user, shape, time in rng.choices(messages, k=rows)
    ] if messages else []  # fmt: skip


def _repeat_some(rng: Random, columns: Columns) -> Columns:
    """Some events again, in place of the last ones: the number of rows stays the same."""
    rows = len(columns["id"])
    again = int(rows * DUPLICATE_SHARE)
    if not again:
        return columns
    kept = rows - again
    rows_again = rng.choices(range(kept), k=again)
    return {n: c[:kept] + [c[row] for row in rows_again] for n, c in columns.items()}


def _json_chunk(event: str, columns: Columns) -> EventChunk:
    chunk = avro_chunk(event, columns)
    values = [
        json.dumps({name: v for name, v in record.items() if v is not None}).encode()
        for record in chunk.records()
    ]
    return EventChunk(event, columns, chunk.keys, values, chunk.users)
