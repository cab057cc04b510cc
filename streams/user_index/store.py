"""The `by_user` index on disk: a RocksDB store of its own, disposable at any time.

@                          what it was built from: format and identity of the hot table
@c                         the generation of the mask up to which no run has rows of erased users
c/<segment id>             the rows of this segment are in the runs
r/<run, 8 hex digits>      a run: JSON of its rows and the first user of each block
b/<run>/<block, 8 hex>     a block

Blocks count only once their run's entry is there, and go only after it has gone. The
write-ahead log is off: a crash takes the store back to an earlier state of it, whole batches
at a time, and every state is one that reading copes with.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import orjson
from rocksdict import (
    Cache,
    Rdict,
    Snapshot,
    WriteBatch,
    WriteOptions,
)

from schemas.errors import Recoverable
from streams.state.rocks import (
    StoreDamaged,
    StoreFailed,
    check_end,
    close_store,
    open_store,
    store_options,
    using,
)
from streams.user_index.runs import Run

__all__ = ["CLEAN", "FORMAT", "STAMP", "UserStore", "UserStoreFailed", "block_key", "run_of"]

FORMAT = "2"
STAMP = b"@"
CLEAN = b"@c"
_MEMTABLE = 4 << 20
_OPEN_FILES = 64


class UserStoreFailed(Recoverable):
    """The disk does not accept or return the index's data."""


class UserStore:
    """One shard's index under `folder`, for the hot table `identity`. Read and written from
    threads, one writer at a time; a snapshot stays readable during writes.
    """

    def __init__(self, folder: Path, cache: Cache, identity: str) -> None:
        """Opens the store, and empties it first if it was built from another `identity`.

        Blocking. Raises as `open_store` does, and `StoreDamaged`: then open it again.
        """
        self.folder = folder
        self._store = self._open(cache)
        try:
            with using(folder):
                self._load(f"{FORMAT} {identity}".encode(), cache)
        except (StoreDamaged, StoreFailed):
            self.close()
            raise

    def _load(self, stamp: bytes, cache: Cache) -> None:
        if self._store.get(STAMP) != stamp:
            self._store.close()
            shutil.rmtree(self.folder)
            self._store = self._open(cache)
            self._store.put(STAMP, stamp)
        found = self._store.get(CLEAN)
        self.clean = int(found) if isinstance(found, bytes) else 0
        self.runs = self._runs()
        self.covered = {str(key[2:], "ascii") for key in self._keys(b"c/", b"c0")}
        self._next = 1 + max((run.number for run in self.runs), default=0)
        self._remove_orphans()

    def _open(self, cache: Cache) -> Rdict:
        store = open_store(
            self.folder, store_options(cache, memtable_bytes=_MEMTABLE, open_files=_OPEN_FILES)
        )
        self._unlogged = WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]  # the stub says method
        store.set_write_options(self._unlogged)
        return store

    def _keys(self, low: bytes, high: bytes) -> list[bytes]:
        found: list[bytes] = []
        for key in self._store.keys(from_key=low):
            if not isinstance(key, bytes) or key >= high:
                return found
            found.append(key)
        check_end(self.folder, self._store, found[-1] if found else low)
        return found

    def _runs(self) -> list[Run]:
        found = []
        for key in self._keys(b"r/", b"r0"):
            value: bytes = self._store[key]  # type: ignore[assignment]  # there, and raw
            found.append(run_of(key, value))
        return found

    def _remove_orphans(self) -> None:
        """Removes blocks whose run does not exist, which a crash may have left."""
        low = 0
        for number in [*sorted(run.number for run in self.runs), 0xFFFF_FFFF]:
            if low < number:
                self._store.delete_range(b"b/%08x" % low, b"b/%08x" % number)
            low = number + 1

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Raises `StoreDamaged`, or `UserStoreFailed` for another error of the disk."""
        try:
            with using(self.folder):
                yield
        except StoreDamaged:
            raise
        except Exception as error:
            raise _failed(self.folder, error) from error

    def new_number(self) -> int:
        """The number of a new run."""
        self._next += 1
        return self._next - 1

    def write(
        self,
        *,
        blocks: Mapping[bytes, bytes] | None = None,
        add: Run | None = None,
        remove: Iterable[Run] = (),
        covered: Iterable[str] | None = None,
    ) -> None:
        """Writes blocks, a run's entry, removals and all covered ids: atomically or not at all.

        Raises `UserStoreFailed` or `StoreDamaged`.
        """
        batch = WriteBatch(raw_mode=True)
        for key, data in (blocks or {}).items():
            batch.put(key, data)
        for run in remove:
            batch.delete(b"r/%08x" % run.number)
        if add is not None:
            entry = {"rows": add.rows, "firsts": [first.hex() for first in add.firsts]}
            batch.put(b"r/%08x" % add.number, orjson.dumps(entry))
        wanted = self.covered if covered is None else set(covered)
        for segment_id in wanted - self.covered:
            batch.put(f"c/{segment_id}".encode(), b"")
        for segment_id in self.covered - wanted:
            batch.delete(f"c/{segment_id}".encode())
        with self._changing():
            self._store.write(batch, self._unlogged)
        self.covered = wanted

    def cleaned(self, generation: int) -> None:
        """Note that no run has rows of users erased up to this generation. Raises as `write`."""
        if generation > self.clean:
            with self._changing():
                self._store.put(CLEAN, b"%d" % generation)
            self.clean = generation

    def remove_blocks(self, run: Run) -> None:
        """Removes the blocks of a run whose entry has gone. Raises as `write` does."""
        with self._changing():
            self._store.delete_range(b"b/%08x" % run.number, b"b/%08x" % (run.number + 1))

    def wipe(self) -> None:
        """Removes everything but the stamp. Raises as `write` does."""
        with self._changing():
            self._store.delete_range(b"b", b"s")
        self.runs, self.covered = [], set()

    def snapshot(self) -> Snapshot:
        """The store as it is now."""
        return self._store.snapshot()

    def close(self) -> None:
        """Closes the store and flushes it, if the disk accepts the data."""
        close_store(self.folder, self._store)


def run_of(key: bytes, value: bytes) -> Run:
    """A run from its entry. Raises ValueError, KeyError, TypeError for any other value."""
    entry = orjson.loads(value)
    firsts = tuple(bytes.fromhex(first) for first in entry["firsts"])
    return Run(int(key[2:], 16), entry["rows"], firsts)


def block_key(run: int, block: int) -> bytes:
    """The key of a block."""
    return b"b/%08x/%08x" % (run, block)


def _failed(folder: Path, error: Exception) -> UserStoreFailed:
    return UserStoreFailed(f"{folder}: {error}", remedy="Make room on the disk of the data folder")
