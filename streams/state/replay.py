"""Replays a changelog into its state store, with few writes, most of them early."""

import asyncio
from collections.abc import Mapping

from streams.state import keys
from streams.state.state_store import StateStore

__all__ = ["Replay"]

#: What an entry takes beside its bytes, a deleted one too.
_ENTRY_BYTES = 100
_SEGMENT = keys.kind(keys.segment(""))


class Replay:
    """Entries on their way to the state store. `add` them in the order of the log, `write` now and
    then, `finish` at the end; `close` in any case.

    Most entries are deltas that a flush deletes soon after: an entry that is put and deleted within
    one stretch (`stretch_bytes`) is never written. Segments stay, and are most of the bytes: they
    are written while reading goes on (`ahead_bytes` at a time), before the state store's position
    moves. This is safe: after a crash, all entries after the position are read again, with the same
    result.
    """

    def __init__(
        self,
        state_store: StateStore,
        *,
        stretch_bytes: int = 32_000_000,
        ahead_bytes: int = 4_000_000,
    ) -> None:
        self._state_store = state_store
        self._stretch_bytes = stretch_bytes
        self._ahead_bytes = ahead_bytes
        self._waiting = _Stretch()
        self._segments = _Stretch()
        self._writing: asyncio.Future[None] | None = None

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add one entry; None deletes the key."""
        stretch = self._segments if keys.kind(key) == _SEGMENT else self._waiting
        stretch.put(key, value)

    async def write(self, position: int, stamp_ms: int | None = None) -> None:
        """Start writing the entries that exceed the limits; `position` is the offset after the last
        entry, whose time is `stamp_ms`.

        Waits for the previous write. Raises the errors of the state store.
        """
        if self._waiting.weight + self._segments.weight > self._stretch_bytes:
            await self._begin(self._segments.taken() | self._waiting.taken(), position, stamp_ms)
        elif self._segments.weight > self._ahead_bytes:
            await self._begin(self._segments.taken(), None)

    async def finish(self, position: int, stamp_ms: int | None = None) -> None:
        """Write all that is left, and `position`. Raises what the state store raises."""
        await self._begin(self._segments.taken() | self._waiting.taken(), position, stamp_ms)
        await self._written()

    async def close(self) -> None:
        """Wait until nothing is being written."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _begin(
        self,
        puts: Mapping[bytes, bytes | None],
        position: int | None,
        stamp_ms: int | None = None,
    ) -> None:
        await self._written()
        self._writing = asyncio.ensure_future(
            asyncio.to_thread(self._state_store.apply, puts.items(), position, stamp_ms)
        )

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None


class _Stretch:
    """The last value of every key, and the bytes of all of them."""

    def __init__(self) -> None:
        self._puts: dict[bytes, bytes | None] = {}
        self.weight = 0

    def put(self, key: bytes, value: bytes | None) -> None:
        if key not in self._puts:
            self.weight += len(key) + _ENTRY_BYTES
        self.weight += len(value or b"") - len(self._puts.get(key) or b"")
        self._puts[key] = value

    def taken(self) -> dict[bytes, bytes | None]:
        puts, self._puts, self.weight = self._puts, {}, 0
        return puts
