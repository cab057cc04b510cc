"""Rebuilds manifest entries from the archive, whose headers say everything that an entry has.

First a plan is made, which changes nothing. To write it, each shard is taken over as by a worker
that starts: a worker that still runs is fenced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.verify.report import VerifyReport
from agents.verify.shards import ShardReader
from agents.worker.preflight import locked
from schemas.errors import Fatal
from streams.kafka.environment import Environment
from streams.state import keys
from streams.state.hot_table import ManifestEntry
from streams.state.state_store import shared_cache
from streams.state.store import Step, Store, bounded

__all__ = ["Mend", "plan_rebuild", "write_rebuild"]

_CACHE_BYTES = 8_000_000
_PUTS_PER_STEP = 2_000


@dataclass(frozen=True, slots=True)
class Mend:
    """An entry to be written. `former` is the entry in its place, None if there is none."""

    shard: int
    source: str
    segment: str
    entry: ManifestEntry
    former: ManifestEntry | None


async def plan_rebuild(
    environment: Environment, *, passed: Callable[[int], None] = lambda _: None
) -> list[Mend]:
    """The entries that whole records of the archive give, and that the manifests do not have.

    Raises `Fatal` if a changelog or an archive cannot be read whole.
    """
    report = VerifyReport()
    reader = ShardReader(environment, report, passed)
    mends: list[Mend] = []
    for shard in range(environment.settings.partitions):
        pinned = await reader.pin(shard, _nothing)
        if pinned is None:
            raise Fatal(report.unchecked[-1], remedy="Restore the changelog from a backup")
        check = (await reader.compare_archive(pinned)).check
        mends += [
            Mend(shard, *name, entry, pinned.image.manifest.get(name))
            for name, entry in sorted(check.mends.items())
        ]
    return mends


async def write_rebuild(environment: Environment, mends: Sequence[Mend]) -> int:
    """Write the entries of a plan; returns how many.

    Entries that have changed since the plan was made stay as they are. Raises `Fatal` while a
    worker uses this data folder, `Recoverable` (such as `Fenced`) if a worker elsewhere takes over:
    entries that were written by then stay.
    """
    written = 0
    settings = environment.settings
    with locked(settings.data_dir):
        for shard in sorted({mend.shard for mend in mends}):
            folder = Path(settings.data_dir) / f"shard-{shard}"
            store = Store(environment, shard, folder, shared_cache(_CACHE_BYTES))
            try:
                await store.takeover()
                manifest = store.table.manifest
                puts = [
                    (keys.manifest_entry(mend.source, mend.segment), mend.entry.to_json())
                    for mend in mends
                    if mend.shard == shard
                    and manifest.get(mend.source, {}).get(mend.segment) == mend.former
                ]
                for some in bounded(puts, lambda _: 1, _PUTS_PER_STEP):
                    await store.commit(Step(puts=list(some)))
                    written += len(some)
            finally:
                await store.close()
    return written


async def _nothing() -> None:
    """No other log is read at the moment of a shard."""
