"""Looks for a user in everything that a shard has stored, whatever the mask hides.

It proves that an erased user is gone, and names what is left. It reads every delta, segment, run
and archived record once, one at a time, so it takes as long as the shard is large.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

import polars as pl

from agents.shard.jobs.context import ShardContext
from schemas.decode.batch import unpack
from schemas.segment.codec import decode as decode_segment
from schemas.segment.index import verified
from schemas.tables import delta
from schemas.tables.interaction import SCHEMA
from streams.kafka.log import ReaderOptions
from streams.kafka.topics import Topics
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.user_index import block
from streams.user_index.by_user import ByUser
from streams.user_index.merge import load_block

__all__ = ["Traces", "traces"]

_NAMES = {
    auxiliary.COUNTS.delta: "counts",
    auxiliary.ROSTER.delta: "roster",
    auxiliary.EXTERNALS.delta: "externals",
}


@dataclass
class Traces:
    """Rows of one user in one shard, by place. `merged` counts records of the roster that name the
    user as the one whom another became. `archive` counts rows of archived segments that the
    manifest names, `archive_dead` those of other archived records, which count no more; `where`
    names changelog keys and archive offsets, at most `MOST` of them.
    """

    deltas: int = 0
    segments: int = 0
    counts: int = 0
    roster: int = 0
    merged: int = 0
    externals: int = 0
    index: int = 0
    archive: int = 0
    archive_dead: int = 0
    where: list[str] = field(default_factory=list)

    MOST = 100

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(value for value in asdict(self).values() if isinstance(value, int))

    def add(self, place: str, rows: int, where: str) -> None:
        """Note rows of the user in a place."""
        if rows:
            setattr(self, place, getattr(self, place) + rows)
            if len(self.where) < self.MOST:
                self.where.append(where)


async def traces(context: ShardContext, index: ByUser, user: str) -> Traces:
    """The rows of one user. Raises the errors of reading what is damaged, and `Recoverable` if no
    record of the archive comes.
    """
    found = Traces()
    await asyncio.to_thread(_stored, context, found, user)
    await asyncio.to_thread(_indexed, index, found, user)
    await _archived(context, found, user)
    return found


def _of(frame: pl.DataFrame, user: str) -> int:
    return int((frame["user"] == user).sum())


def _stored(context: ShardContext, found: Traces, user: str) -> None:
    """Deltas, segments and the auxiliary tables, as the changelog has them."""
    store, table = context.store.state_store, context.store.table

    def each(letter: bytes, place: str, read: Callable[[bytes], pl.DataFrame]) -> None:
        for key, value in store.items(letter + b"/"):
            found.add(place, _of(read(value), user), key.decode(errors="replace"))

    each(b"d", "deltas", partial(delta.decode, schema=SCHEMA))
    for one in auxiliary.TABLES:
        each(one.delta, _NAMES[one.delta], partial(delta.decode, schema=one.schema))
        each(one.run, _NAMES[one.delta], auxiliary.decode)
    reads = (
        (auxiliary.ROSTER.delta, partial(delta.decode, schema=auxiliary.ROSTER.schema)),
        (auxiliary.ROSTER.run, auxiliary.decode),
    )
    for letter, read in reads:
        for key, value in store.items(letter + b"/"):
            rows = read(value).select(user="merged_into")
            found.add("merged", _of(rows, user), key.decode(errors="replace"))
    for name, index in list(table.segments.items()):
        data = store.get(keys.segment(name))
        if data is not None:
            rows = decode_segment(verified(index, data), columns=("user",))
            found.add("segments", _of(rows, user), f"s/{name}")


def _indexed(index: ByUser, found: Traces, user: str) -> None:
    packed, blocks = block.pack_user(user), index.store.snapshot()
    for run in index.runs:
        for number in run.blocks(packed, packed + b"\0"):
            rows = block.decode(load_block(blocks, run, number))
            count = rows["user"].is_in([packed]).sum()
            found.add("index", int(count), f"run {run.number}")


async def _archived(context: ShardContext, found: Traces, user: str) -> None:
    topic = Topics(context.settings.prefix).archive
    partition = (topic, context.partition)
    start, end = (await context.kafka.admin.bounds([partition]))[partition]
    if start >= end:
        return
    reader = context.kafka.reader({partition: start}, ReaderOptions(name="archive-traces"))
    await reader.start()
    try:
        live = set(_offsets(context))
        while reader.position(partition) < end:
            for batch in await reader.fetch():
                for record in unpack(batch):
                    data = record.value or b""
                    rows = await asyncio.to_thread(decode_segment, data, columns=("user",))
                    place = "archive" if record.offset in live else "archive_dead"
                    where = f"{topic}[{context.partition}]@{record.offset}"
                    found.add(place, _of(rows, user), where)
    finally:
        await reader.close()


def _offsets(context: ShardContext) -> Iterator[int]:
    for entries in context.store.table.manifest.values():
        for entry in entries.values():
            yield entry.offset
