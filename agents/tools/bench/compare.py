"""Compares states: a worker's rows, a peer's changelog, the oracle's dictionary."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import aiohttp
import polars as pl

from agents.tools.bench.worker import Worker
from agents.tools.demo.bench_events import bench_events
from agents.tools.oracle import Interactions, expect

__all__ = ["Law", "as_frame", "oracle", "worker_equals"]

Law: TypeAlias = Literal["exponential", "zipf"]
"""How often each source occurs."""

_SCHEMA: dict[str, type[pl.DataType]] = {
    "source": pl.String, "user": pl.String, "kind": pl.String, "channel": pl.String,
    "step": pl.String, "variation": pl.String, "detail": pl.String,
    "first": pl.Int64, "last": pl.Int64,
}  # fmt: skip
_TIMEOUT = aiohttp.ClientTimeout(total=300)


def oracle(events: int, sources: int, law: Law) -> Interactions:
    """The interactions of this many benchmark events, in plain dictionaries."""
    chunks = bench_events(events, sources, law)
    return expect((chunk.event, record) for chunk in chunks for record in chunk.records())


def as_frame(interactions: Interactions) -> pl.DataFrame:
    """The same as a frame."""
    rows = ((*key, *span) for key, span in interactions.items())
    return pl.DataFrame(list(rows), schema=_SCHEMA, orient="row")


async def worker_equals(worker: Worker, expected: pl.DataFrame, sources: Iterable[str]) -> bool:
    """Whether the worker's rows of `sources`, read over HTTP, are exactly the expected ones."""
    names, parts = list(sources), []
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for source in names:
            parts.append(await worker.rows(session, source))
    found = pl.concat(parts).select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items())
    wanted = expected.filter(pl.col("source").is_in(names))
    order = list(_SCHEMA)
    return found.sort(order).equals(wanted.sort(order))
