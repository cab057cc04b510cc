"""The state store: a shard's changelog in RocksDB, with the same keys and values.

Disposable. It is written only after a transaction has committed: one write batch for each step,
with the changelog offset up to which the store is applied, the broker's time of the last record
below it, and the format of its entries. The write-ahead log is off: a crash loses the last few
megabytes of the memtable, values and offset together, and recovery reads them from the changelog
again.
"""

import shutil
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rocksdict import (
    Cache,
    Options,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from streams.clock import SYSTEM_CLOCK, Clock
from streams.kafka.stored_format import FORMAT
from streams.state.rocks import (
    OpenSnapshots,
    StoreDamaged,
    StoreSnapshot,
    check_end,
    close_store,
    is_damaged,
    mark_damaged,
    open_store,
    store_options,
    using,
)

__all__ = ["FORMAT_KEY", "POSITION", "STAMP", "StateStore", "shared_cache"]

#: Below every changelog key, so that no prefix scan meets it.
POSITION = b"@"
STAMP = struct.Struct(">qq")
"""Offset and time of the position."""
FORMAT_KEY = b"@f"
"""The format of the entries; 0.1.0 writes none."""
_FORMAT = b"%d" % FORMAT
_MEMTABLE = 8 << 20
_OPEN_FILES = 128


def shared_cache(capacity: int) -> Cache:
    """One block cache for all stores of a worker; `capacity` in bytes."""
    return Cache(capacity)


class StateStore:
    """One shard's store under `folder`. Not thread-safe for writes: one step at a time."""

    def __init__(self, folder: Path, cache: Cache, clock: Clock = SYSTEM_CLOCK) -> None:
        """Opens the store. Blocking. Raises as `open_store` does."""
        self.folder = folder
        self._cache = cache
        self._clock = clock
        self._store = open_store(folder, _options(cache))
        self._views = OpenSnapshots()
        self._unlogged = WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]  # the stub says method

    def position(self) -> int:
        """The changelog offset at which reading continues; 0 for an empty store."""
        return self._stamp()[0]

    def stamp_ms(self) -> int:
        """When the last record below `position` was appended: UTC ms, by the broker's clock.

        Keys deleted since then may have only a tombstone in the changelog, and tombstones expire.
        """
        return self._stamp()[1]

    def _stamp(self) -> tuple[int, int]:
        value = self._get(POSITION)
        if value is None:
            return 0, 0
        position, appended = STAMP.unpack(value)
        return position, appended

    def readable(self) -> bool:
        """Whether this version knows the format of the entries."""
        return self._get(FORMAT_KEY) in (None, _FORMAT)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None. Raises `StoreDamaged`."""
        return self._get(key)

    def _get(self, key: bytes) -> bytes | None:
        with using(self.folder):
            value: bytes | None = self._store.get(key)
            return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order. Raises `StoreDamaged`."""
        with using(self.folder):
            values: list[bytes | None] = self._store.get(list(keys)) if keys else []  # type: ignore[assignment]
            return values

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All pairs whose key starts with `prefix`, in key order. Raises `StoreDamaged`."""
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(prefix[:-1] + bytes([prefix[-1] + 1]))
        pairs: Iterator[Any] = self._store.items(from_key=prefix, read_opt=bounds)
        last = prefix
        while True:
            with using(self.folder):
                pair = next(pairs, None)
            if pair is None:
                check_end(self.folder, self._store, last, bounds)
                return
            last = pair[0]
            yield pair

    def apply(
        self,
        puts: Iterable[tuple[bytes, bytes | None]],
        position: int | None,
        stamp_ms: int | None = None,
    ) -> None:
        """Writes one committed step (None deletes) and the position after it, atomically.

        With position None the position stays, and recovery reads the entries again. `stamp_ms` is
        the broker's time of the last record; if it is None, the local clock counts.
        """
        batch = WriteBatch(raw_mode=True)
        for key, value in puts:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if position is not None:
            at = self._clock.now_ms() if stamp_ms is None else stamp_ms
            batch.put(POSITION, STAMP.pack(position, at))
            batch.put(FORMAT_KEY, _FORMAT)
        with using(self.folder):
            self._store.write(batch, self._unlogged)

    def snapshot(self) -> StoreSnapshot:
        """The store as it is now, readable by key while later steps change it, until the store
        closes.
        """
        return self._views.add(StoreSnapshot(self._store.snapshot(), self.folder))

    def check(self) -> None:
        """Raises `StoreDamaged` if any read has found damage."""
        if is_damaged(self.folder):
            raise StoreDamaged(self.folder, "found by a read")

    def condemn(self, why: str) -> NoReturn:
        """Mark the store as damaged: it is filled anew when it is next opened. Raises
        `StoreDamaged`.
        """
        mark_damaged(self.folder)
        raise StoreDamaged(self.folder, why)

    def clear(self) -> None:
        """Deletes everything and starts empty."""
        self._views.cut()
        self._store.close()
        shutil.rmtree(self.folder)
        self._store = open_store(self.folder, _options(self._cache))

    def close(self, *, flush: bool = False) -> None:
        """Closes the store; `flush` writes the memtable first, so that recovery reads nothing
        again.

        Reads of open snapshots end with `StoreClosed`.
        """
        self._views.cut()
        if flush:
            self._store.flush()
        close_store(self.folder, self._store)


def _options(cache: Cache) -> Options:
    """Values of segments are large and written once: they are stored in separate files."""
    options = store_options(cache, memtable_bytes=_MEMTABLE, open_files=_OPEN_FILES)
    options.set_enable_blob_files(True)
    options.set_min_blob_size(4096)
    options.set_blob_file_size(64 << 20)
    options.set_enable_blob_gc(True)
    return options
