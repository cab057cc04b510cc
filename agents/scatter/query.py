"""What a shard can be asked: how it is answered here, and how it travels to another worker.

    {method} /internal/shards/{partition}/{name}     the query's parameters and body

The answer is a JSON object or frames (see wire.py), whole or as a stream; its headers say of which
generation it is, and those of a stream how far the shard is behind.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Literal, Self, TypeVar

import aiohttp
import polars as pl

from agents.http.body import MOST_WORKER_BYTES
from agents.http.number import number
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
    """Pinned: `items` is what the shard yields. To be closed."""

    items: AsyncGenerator[T, None]
    lag: int = 0
    held_back: int = 0
    held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def aclose(self) -> None:
        """Let go of the shard, however much was read."""
        await self.items.aclose()
        await self.held.aclose()


class ShardQuery(ABC, Generic[T]):
    """One question to one shard; T is its answer."""

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
        """The query that another worker sent. Raises UsageError where it is none, Recoverable
        where the other worker runs another version."""

    @abstractmethod
    async def here(self, context: WorkerContext, shard: Shard) -> T:
        """The answer of a shard of this worker. Raises Recoverable, mostly NotHeld."""

    @abstractmethod
    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> T:
        """The answer of another worker, which is there as long as `held` is open; a stream takes
        that over. Raises Truncated, what aiohttp raises, and what a wrong shape raises
        (ValueError, KeyError, TypeError, AttributeError, PolarsError)."""


class UnaryQuery(ShardQuery[T]):
    """A query whose answer comes as a whole."""

    media: ClassVar[str] = JSON

    @abstractmethod
    async def pack(self, found: T) -> bytes:
        """The answer as it is sent; what `read` reads."""


class StreamQuery(ShardQuery[ShardStream[T]]):
    """A query whose answer comes in frames, each of them an item, as fast as it is read."""

    wait_s = None

    @abstractmethod
    def to_frame(self, item: T) -> pl.DataFrame:
        """An item as it is sent."""

    @abstractmethod
    def from_frame(self, frame: pl.DataFrame) -> T:
        """What `to_frame` made. Raises Truncated."""

    async def read(self, answer: aiohttp.ClientResponse, held: AsyncExitStack) -> ShardStream[T]:
        """See ShardQuery; the shard has been pinned."""
        behind, held_back = (number(answer.headers.get(name, "")) for name in (LAG, HELD_BACK))
        if behind is None or held_back is None:
            raise Truncated(f"{answer.url} does not say how far it is behind")
        return ShardStream(self._items(answer), behind, held_back, held.pop_all())

    async def _items(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[T, None]:
        async for frame in frames_of(answer):
            yield self.from_frame(frame)


async def frames_of(answer: aiohttp.ClientResponse) -> AsyncGenerator[pl.DataFrame, None]:
    """The frames of another worker's answer. Raises Truncated where it breaks off."""
    try:
        async for frame in unpack(answer.content):
            yield frame
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Truncated(f"{answer.url}: {trouble(error)}") from error
