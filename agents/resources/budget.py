"""Divides a worker's memory and threads among its shards."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from agents.resources.scheduler import Scheduler
from streams.settings import Settings

__all__ = ["Budget", "answers"]

#: A row of a delta in memory: nine columns, strings included, and the copies of a flush.
DELTA_ROW_BYTES = 500
_DECODERS = 1
_LAYERS = 1
_DELTAS = 0.30
#: Part of the deltas' rows from which on rows of one step are not worth being kept as deltas.
_DIRECT = 5
#: Counts and users that wait to be folded into runs, the copies of their fold aside.
_AUXILIARY = 0.05
_FETCH = 0.06
_CACHE = 0.10


#: Part of the budget for the answers under way; an audience or a stream holds some frames of
#: each shard of the worker, a file the row groups that it is made of.
_ANSWERS = 0.25
ANSWER_BYTES = 20_000_000
FILE_BYTES = 80_000_000
_LOOK_UPS = 32


def answers(memory_budget: int) -> dict[str, int]:
    """The number of answers of each kind that a worker computes at once, see
    agents/http/admission.py: half of the memory for answers is for audiences and streams, half for
    files. At least two of each kind, so that one key does not block all others.
    """
    share = memory_budget * _ANSWERS
    streams = int(share / 2 / ANSWER_BYTES)
    return {
        "look_up": _LOOK_UPS,
        "audience": max(2, streams - streams // 2),
        "rows": max(2, streams // 2),
        "file": max(2, int(share / 2 / FILE_BYTES)),
    }


@dataclass
class Budget:
    """Limits for one shard, while the worker holds `shards` of them."""

    settings: Settings
    shards: int = 1
    scheduler: Scheduler = field(default_factory=Scheduler)
    #: Decodes for all shards: Polars uses all cores by itself, and threads that ask it for
    #: small things at the same time mostly wait for each other, busily.
    decoders: Executor = field(default_factory=lambda: ThreadPoolExecutor(_DECODERS, "decode"))
    #: Sort and encode what is decoded, beside the decoding of what follows.
    layers: Executor = field(default_factory=lambda: ThreadPoolExecutor(_LAYERS, "layout"))

    @property
    def delta_rows(self) -> int:
        """The number of rows in the deltas at which they are flushed."""
        share = int(self.settings.memory_budget * _DELTAS / DELTA_ROW_BYTES / max(1, self.shards))
        return max(1, min(self.settings.delta_rows, share))

    @property
    def direct_rows(self) -> int:
        """The number of rows in one step from which they become segments directly."""
        return max(1, self.delta_rows // _DIRECT)

    @property
    def delta_rows_full(self) -> int:
        """The number of rows in the deltas at which ingest waits for the flush."""
        return 2 * self.delta_rows

    @property
    def auxiliary_bytes(self) -> int:
        """Bytes of counts and users in deltas at which those are flushed."""
        return int(self.settings.memory_budget * _AUXILIARY / max(1, self.shards))

    @property
    def auxiliary_bytes_full(self) -> int:
        """Bytes of counts and users in deltas at which ingest waits for the flush."""
        return 2 * self.auxiliary_bytes

    @property
    def fetch_bytes(self) -> int:
        """Bytes of one fetch, compressed."""
        share = int(self.settings.memory_budget * _FETCH / max(1, self.shards))
        return max(1_000, min(self.settings.fetch_bytes, share))

    @property
    def cache_bytes(self) -> int:
        """Bytes of the block cache that all stores of the worker share."""
        return int(self.settings.memory_budget * _CACHE)
