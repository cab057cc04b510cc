"""What hidden sources have of one user: their hot rows, and rows that are read in the archive where
they lie. Nothing is restored.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from agents.resources.threads import execute
from agents.shard.agreement import check_owned
from agents.shard.jobs.context import ShardContext
from agents.shard.protocol import NotHeld
from agents.shard.user_read import read_users
from agents.users.facts import ArchivedUser
from schemas.segment.codec import decode_user
from schemas.tables.erased import Mask
from schemas.tables.fold import fold
from schemas.tables.interaction import empty
from streams.state.archive import ArchiveDamage, ArchivedSegment, ArchiveReader
from streams.state.hot_table import ManifestEntry
from streams.user_index.by_user import ByUser

__all__ = ["ArchivedUsers"]

_ATTEMPTS = 5
#: Of encoded segments that are decoded side by side.
_CHUNK_BYTES = 4_000_000


@dataclass
class ArchivedUsers:
    """Reads for one user at a time, by a connection of its own: no restore waits for it."""

    context: ShardContext
    index: ByUser
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self, user: str) -> ArchivedUser:
        """Everything that hidden sources have of a user, as of one moment.

        Reads all archived segments of all hidden sources of the shard. A record that is damaged is
        named, and the others are read. Raises `NotHeld` as `read_users` does, and `Recoverable` if
        the broker does not answer.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                hot = (await read_users(self.context, self.index, [user]))[user]
                # no other task runs from here until the entries are copied
                table, view = self.context.store.table, self.context.view
                if view.changes != hot.changes:
                    continue
                held = {name: dict(found) for name, found in table.manifest.items() if found}
                wanted = _Wanted(
                    {name: held[name] for name in held if view.hidden(name)}, table.mask
                )
                archived, damaged = await self._archived(wanted, user)
                if any(self._moved(wanted, one) for one in damaged):
                    continue
                check_owned(self.context)
                rows = await execute(partial(fold, pl.concat([hot.hidden_rows, *archived])))
                return ArchivedUser(
                    rows,
                    tuple(sorted(wanted.entries)),
                    sum(map(len, wanted.entries.values())),
                    sum(each.bytes for found in wanted.entries.values() for each in found.values()),
                    tuple((wanted.source_of[one.segment], str(one)) for one in damaged),
                )
        raise NotHeld(f"shard {self.context.partition} changes faster than it can be read")

    async def _archived(
        self, wanted: "_Wanted", user: str
    ) -> tuple[list[pl.DataFrame], list[ArchiveDamage]]:
        """The rows of the user that the mask does not hide, and the records that are damaged."""
        context = self.context
        reader = ArchiveReader(context.settings, context.kafka, context.partition)
        entries = {name: entry for each in wanted.entries.values() for name, entry in each.items()}
        found: list[pl.DataFrame] = [empty()]
        damaged: list[ArchiveDamage] = []
        parts: list[ArchivedSegment] = []
        weight = 0

        async def decoded() -> None:
            data, counts = [one.data for one in parts], [one.index.rows for one in parts]
            parts.clear()
            rows = await execute(partial(decode_user, data, counts, user))
            if rows.height:
                found.append(wanted.mask.rows(rows))

        try:
            async with aclosing(reader.read(entries, wanted.source_of)) as reading:
                async for one in reading:
                    if isinstance(one, ArchiveDamage):
                        damaged.append(one)
                    elif one.index.low[1] <= user <= one.index.high[1]:
                        parts.append(one)
                        weight += len(one.data)
                    if weight >= _CHUNK_BYTES:
                        await decoded()
                        weight = 0
                await decoded()
        finally:
            await reader.close()
        return found, damaged

    def _moved(self, wanted: "_Wanted", damage: ArchiveDamage) -> bool:
        """Whether the record is no more that of the segment: an erasure has written it anew."""
        source = wanted.source_of[damage.segment]
        now = self.context.store.table.manifest.get(source, {}).get(damage.segment)
        return now != wanted.entries[source][damage.segment]


class _Wanted:
    """What is read for one answer: entries by source and segment, and the mask of that moment."""

    def __init__(self, entries: dict[str, dict[str, ManifestEntry]], mask: Mask) -> None:
        self.entries = entries
        self.mask = mask
        self.source_of = {name: source for source, each in entries.items() for name in each}
