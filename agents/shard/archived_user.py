"""What hidden sources have of one user: their hot rows, and rows that are read in the archive where
they lie. Nothing is restored.
"""

import asyncio
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
from streams.state.archive import ArchiveMismatch, ArchiveReader
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

        Reads all archived segments of all hidden sources of the shard. Raises `NotHeld` as
        `read_users` does, `ArchiveMismatch` if a record of the archive is damaged, `Recoverable`
        if the broker does not answer.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                hot = (await read_users(self.context, self.index, [user]))[user]
                # no other task runs from here until the entries are copied
                table, view = self.context.store.table, self.context.view
                if view.changes != hot.changes:
                    continue
                hidden = [name for name, held in table.manifest.items() if held]
                entries = {
                    name: entry
                    for source in filter(view.hidden, hidden)
                    for name, entry in table.manifest[source].items()
                }
                sources = tuple(sorted(filter(view.hidden, hidden)))
                try:
                    archived = await self._archived(entries, user, table.mask)
                except ArchiveMismatch:
                    if self._moved(entries):
                        continue
                    raise
                check_owned(self.context)
                rows = await execute(partial(fold, pl.concat([hot.hidden_rows, *archived])))
                size = sum(entry.bytes for entry in entries.values())
                return ArchivedUser(rows, sources, len(entries), size)
        raise NotHeld(f"shard {self.context.partition} changes faster than it can be read")

    async def _archived(
        self, entries: dict[str, ManifestEntry], user: str, mask: Mask
    ) -> list[pl.DataFrame]:
        """The rows of the user in these segments that `mask` does not hide."""
        context = self.context
        reader = ArchiveReader(context.settings, context.kafka, context.partition)
        found: list[pl.DataFrame] = []
        parts: list[bytes] = []

        async def decoded() -> None:
            rows = await execute(partial(decode_user, parts.copy(), user))
            parts.clear()
            if rows.height:
                found.append(mask.rows(rows))

        reading = reader.read(entries)
        try:
            async for index, data in reading:
                if index.low[1] <= user <= index.high[1]:
                    parts.append(data)
                if sum(map(len, parts)) >= _CHUNK_BYTES:
                    await decoded()
            await decoded()
        finally:
            await reading.aclose()
            await reader.close()
        return found or [empty()]

    def _moved(self, entries: dict[str, ManifestEntry]) -> bool:
        """Whether an erasure has written one of these segments anew meanwhile."""
        manifest = self.context.store.table.manifest.values()
        now = {name: entry for held in manifest for name, entry in held.items()}
        return any(now.get(name) != entry for name, entry in entries.items())
