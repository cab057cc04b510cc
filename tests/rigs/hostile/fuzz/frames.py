"""Readers of frames: segments, deltas, runs, and what workers send each other.

The readers of Polars end the process on some bytes, by memory that nobody has. Segments, deltas and
runs carry a checksum, and it is compared first. The frames between workers have none: their reader
is reached here.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import orjson
import polars as pl
from hypothesis import strategies as st

from agents.scatter import plan_json
from agents.scatter.user_queries import IdentifyQuery, UsersQuery
from agents.scatter.wire import END, Truncated, pack, unpack_all
from agents.shard import analytics
from schemas.errors import CorruptSegment, UsageError
from schemas.segment import codec
from schemas.segment.index import SegmentIndex, build, verified
from schemas.tables import delta, repeats
from schemas.tables.interaction import SCHEMA
from streams.state import auxiliary_table, pieces
from tests.rigs.hostile.fuzz.damage import broken_json, damaged
from tests.rigs.hostile.fuzz.target import Target

__all__ = ["FRAMES", "SEGMENTS", "TARGETS", "marked"]

_MARK_BYTES = 4


def _rows(count: int, hexed: bool) -> pl.DataFrame:
    users = [f"{n:024x}" if hexed else f"user-{n}" for n in range(count)]
    return pl.DataFrame(
        {
            "source": ["campaign:a"] * count,
            "user": users,
            "kind": ["received"] * count,
            "channel": ["EMAIL"] * count,
            "step": [None] * count,
            "variation": ["v"] * count,
            "detail": [None] * count,
            "first": list(range(count)),
            "last": list(range(1, count + 1)),
        },
        schema=SCHEMA,
    )


FRAMES = [_rows(3, True), _rows(3, False), _rows(900, True)]
SEGMENTS = [codec.encode(frame) for frame in FRAMES]
_INDEXES = [
    build(f"{number:024x}", 0, frame, data)
    for number, (frame, data) in enumerate(zip(FRAMES, SEGMENTS, strict=True))
]
_DELTAS = [delta.encode(frame) for frame in FRAMES]
_RUNS = [
    auxiliary_table.encode(pl.DataFrame(schema=each.schema)) for each in auxiliary_table.TABLES
] + [auxiliary_table.encode(frame) for frame in FRAMES]
_WIRE = [pack(frame) + END for frame in FRAMES] + [
    pack(pl.DataFrame({"user": ["ada", "bob"]})) + END
]


def marked(good: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Sealed bytes with any damage behind the mark that says that they are sealed."""
    mark = good[0][:_MARK_BYTES]
    return damaged([each[_MARK_BYTES:] for each in good]).map(lambda rest: mark + rest)


def _take_segment(data: bytes) -> None:
    """Bytes that differ from those of the index reach no native reader."""
    for index, good in zip(_INDEXES, SEGMENTS, strict=True):
        with suppress(CorruptSegment):
            codec.decode(verified(index, data))
            assert data == good


def _take_index(data: bytes) -> None:
    try:
        found = SegmentIndex.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    found.to_json()


def _delta(data: bytes) -> None:
    """Bytes that differ from what was sealed reach no native reader."""
    readings: tuple[Callable[[], object], ...] = (
        lambda: delta.decode(data, SCHEMA),
        lambda: delta.height(data),
        lambda: repeats.unpack(data),
    )
    for reading in readings:
        with suppress(CorruptSegment):
            reading()
            assert data in _DELTAS


def _run(data: bytes) -> None:
    with suppress(CorruptSegment):
        auxiliary_table.decode(data)
        assert data in _RUNS


def _frames_of(data: bytes) -> None:
    with suppress(Truncated):
        asyncio.run(unpack_all(data))
    with suppress(UsageError):
        asyncio.run(IdentifyQuery.received({}, data))


_PLANS = [
    {
        "now": 1,
        "pins": {"campaign:a": 1, "canvas:b": None},
        "tree": {
            "both": [
                {"rest": {"constant": True}},
                {
                    "leaf": [
                        "ReceivedFromCampaign",
                        {"name": "received_from_campaign", "has": True, "path": "$"},
                    ],
                    "sources": ["campaign:a"],
                },
            ]
        },
    }
]


def _plan(data: bytes) -> None:
    with suppress(plan_json.BadPlan):
        plan_json.decode(data)
    with suppress(UsageError):
        asyncio.run(UsersQuery.received({}, data))


_UNIQUES = [b"".join(analytics.pack([["a", 1]] * 3)), *analytics.pack([["x" * 50, 1]] * 900, 400)]


def _uniques(data: bytes) -> None:
    with suppress(CorruptSegment):
        if pieces.count(data) == 1:
            analytics.unpack([data])


TARGETS = {
    "segments": Target(damaged(SEGMENTS), _take_segment),
    "segment-index": Target(
        broken_json([orjson.loads(build("0" * 24, 0, FRAMES[0], SEGMENTS[0]).to_json())]),
        _take_index,
    ),
    "deltas": Target(marked(_DELTAS), _delta),
    "runs": Target(marked(_RUNS), _run),
    "frames-between-workers": Target(damaged(_WIRE), _frames_of, 120),
    "plans-between-workers": Target(broken_json(_PLANS), _plan),
    "unique-users": Target(damaged(_UNIQUES), _uniques, 60),
}
