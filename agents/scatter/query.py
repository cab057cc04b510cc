"""Queries to a shard: how a shard of this worker answers them, and how they are sent to another
worker.

    {method} /internal/shards/{partition}/{name}     the query's parameters and body

The answer is a JSON object or frames (see wire.py), as a whole or as a stream. Its headers have the
generation, and those of a stream also the lag of the shard.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, Self, TypeVar

import aiohttp
import polars as pl

from agents.http.body import MOST_WORKER_BYTES
from agents.http.parameters import number
from agents.scatter.context import WorkerContext
from agents.scatter.trouble import trouble
from agents.scatter.wire import Truncated, unpack
from agents.supervision.shard_manager import Shard

__all__ = [
    "FRAMES",
    "GENERATION",
    "HELD_BACK",
    "JSON",
    "LAG",
    "ShardQuery",
    "ShardStream",
    "StreamQuery",
    "UnaryQuery",
    "frames_of",
]

GENERATION = "Emberline-Generation"
"""Header of every answer: the generation of the group in which it is given."""
LAG = "Emberline-Lag"
"""Header of a stream: events that the shard had not folded when it was pinned."""
HELD_BACK = "Emberline-Held-Back"
"""Header beside it: of those, events behind a transaction that their producer has not ended."""

FRAMES = "application/vnd.apache.arrow.stream"
JSON = "application/json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ShardStream(Generic[T]):
    """A pinned shard: `items` are its results. The caller must close it."""

    items: AsyncGenerator[T, None]
    lag: int = 0
    held_back: int = 0
    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def aclose(self) -> None:
        """Release the shard, at any time."""
        await self.items.aclose()
        await self.held.aclose()


class ShardQuery(ABC, Generic[T]):
    """One query to one shard; T is the type of its answer."""

    name: ClassVar[str]
    method: ClassVar[Literal["GET", "POST"]] = "POST"
    summary: ClassVar[str]
    wait_s: ClassVar[float | None]
    """So long another worker may take to answer; None where the gatherer bounds it."""
    most_bytes: ClassVar[int] = MOST_WORKER_BYTES
    """Of the body."""
    one_by_one: ClassVar[bool] = False
    """Whether the shards of one worker are asked one after the other."""

    def params(self) -> Mapping[str, str]:
        """The request's parameters."""
        return {}

    def body(self) -> bytes:
        """The request's body."""
        return b""

    @classmethod
    @abstractmethod
    async def received(cls, params: Mapping[str, str], body: bytes) -> Self:
        """The query that another worker sent. Raises UsageError if it is invalid, Recoverable if
        the other worker has another version.
        """

    @abstractmethod
    async def here(self, context: WorkerContext, shard: Shard) -> T:
        """The answer of a shard of this worker. Raises Recoverable, mostly NotHeld."""

    @abstractmethod
    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> T:
        """The answer of another worker, which is valid while `held` is open; a stream takes over
        `held`. Raises Truncated, the errors of aiohttp, and the errors of an invalid shape
        (ValueError, KeyError, TypeError, AttributeError, PolarsError).
        """


class UnaryQuery(ShardQuery[T]):
    """A query with one complete answer."""

    media: ClassVar[str] = JSON

    @abstractmethod
    async def pack(self, found: T) -> bytes:
        """The answer as bytes, which `read` reads."""


class StreamQuery(ShardQuery[ShardStream[T]]):
    """A query with an answer in frames, one for each item, sent as fast as they are read."""

    wait_s = None

    @abstractmethod
    def to_frame(self, item: T) -> pl.DataFrame:
        """An item as a frame."""

    @abstractmethod
    def from_frame(self, frame: pl.DataFrame) -> T:
        """The item in a frame that `to_frame` made. Raises Truncated."""

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> ShardStream[T]:
        """See ShardQuery; the shard has been pinned."""
        behind, held_back = (number(answer.headers.get(name, "")) for name in (LAG, HELD_BACK))
        if behind is None or held_back is None:
            raise Truncated(f"{answer.url} does not report its lag")
        return ShardStream(self._items(answer), behind, held_back, held.pop_all())

    async def _items(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[T, None]:
        async for frame in frames_of(answer):
            yield self.from_frame(frame)


async def frames_of(answer: aiohttp.ClientResponse) -> AsyncGenerator[pl.DataFrame, None]:
    """The frames of another worker's answer. Raises Truncated if it is incomplete."""
    try:
        async for frame in unpack(answer.content):
            yield frame
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{answer.url}: {trouble(error)}") from error
