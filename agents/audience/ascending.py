"""Merges the users of all shards into one order."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import polars as pl

__all__ = ["ascending"]

Users = AsyncGenerator[pl.Series, None]


@dataclass
class _Stream:
    """`head` is the part that has been read and not yielded."""

    users: Users
    head: pl.Series

    async def fill(self) -> bool:
        """Reads more if `head` is empty; False at the end."""
        while not len(self.head):
            found = await anext(self.users, None)
            if found is None:
                return False
            self.head = found
        return True

    def take(self, last: str) -> pl.Series:
        """Its users up to and including this one."""
        at = int(self.head.search_sorted(last, side="right"))
        taken, self.head = self.head.head(at), self.head.slice(at)
        return taken


async def ascending(streams: Sequence[Users]) -> Users:
    """The merged items of all streams; each yields series of users in ascending order.

    Holds one series of each stream. Raises the errors of the streams.
    """
    async with AsyncExitStack() as held:
        for users in streams:
            held.push_async_callback(users.aclose)
        left = [_Stream(users, pl.Series("user", [], dtype=pl.String)) for users in streams]
        while True:
            left = [stream for stream in left if await stream.fill()]
            if not left:
                return
            # whatever comes next of any stream is behind its head's last user
            last = min(stream.head[-1] for stream in left)
            yield pl.concat([stream.take(last) for stream in left]).sort()
