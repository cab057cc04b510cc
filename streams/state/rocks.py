"""Disposable RocksDB stores: a store that cannot be opened is emptied, unless it is in use."""

import gc
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    Snapshot,
)

from schemas.errors import Fatal, Recoverable

__all__ = [
    "OpenSnapshots",
    "StoreBusy",
    "StoreClosed",
    "StoreDamaged",
    "StoreFailed",
    "StoreHeld",
    "StoreSnapshot",
    "check_end",
    "close_store",
    "is_damaged",
    "mark_damaged",
    "open_store",
    "store_options",
    "using",
]

log = logging.getLogger(__name__)

#: How RocksDB says whose lock it is; other messages have the word in them, too.
_OTHERS = "While lock file"
_OURS = "lock hold by current process"
_DAMAGED = ("Corruption:", "IO error: No such file")
_FAILED = "IO error: "
#: Of a disk that is full, worn or read-only: the store on it may be as good as ever.
_DISK = (
    "No space left on device",
    "File too large",
    "Disk quota exceeded",
    "Input/output error",
    "Read-only file system",
    "Permission denied",
    "Too many open files",
)
_MARK = "damaged"


class StoreBusy(Fatal):
    """Another process has a local store open."""


class StoreHeld(Recoverable):
    """This process still has a local store open, and closes it in a moment."""


class StoreClosed(Recoverable):
    """A local store was closed during a read: the answer ends incomplete."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} has been closed", remedy="Ask again")


class StoreDamaged(Recoverable):
    """A local store returned other data than was written. It is emptied when it is next opened."""

    def __init__(self, folder: Path, why: object) -> None:
        super().__init__(f"{folder} is damaged ({why})", remedy="It is filled anew")


class StoreFailed(Recoverable):
    """The disk does not take or return the data of a local store, which is as it was."""

    def __init__(self, folder: Path, why: object) -> None:
        super().__init__(
            f"{folder}: {why}",
            remedy="Make room on the disk of the data folder, and check it and its rights; it is "
            "tried again",
        )


def store_options(cache: Cache, *, memtable_bytes: int, open_files: int) -> Options:
    """The options of all local stores: raw keys and values, blocks in `cache`.

    Nothing is compressed, because large values are compressed already.
    """
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_cache_index_and_filter_blocks(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.none())
    options.set_write_buffer_size(memtable_bytes)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(open_files)
    options.set_keep_log_file_num(1)
    return options


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Wraps reads and writes of the store in `folder`; a write also fails if a compaction finds
    damage. Raises `StoreDamaged`, and then marks the folder; `StoreFailed` if the disk fails.
    """
    try:
        yield
    except Exception as error:
        if _of_disk(error):
            raise StoreFailed(folder, error) from error
        if not str(error).startswith(_DAMAGED):
            raise
        mark_damaged(folder)
        raise StoreDamaged(folder, error) from error


def _of_disk(error: Exception) -> bool:
    """Whether the disk has failed, and not the store on it."""
    text = str(error)
    return _FAILED in text and any(one in text for one in _DISK)


def mark_damaged(folder: Path) -> None:
    """Have the store in `folder` emptied when it is next opened; a full disk has no room for that,
    and there the damage is found again."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARK).touch()


def is_damaged(folder: Path) -> bool:
    """Whether damage was found since the store was opened."""
    return (folder / _MARK).exists()


def check_end(folder: Path, store: Rdict, last: bytes, bounds: ReadOptions | None = None) -> None:
    """Raises `StoreDamaged` if an iteration, which `last` was the last key of, met damage there.

    An iterator of the library ends where it meets damage, and says nothing.
    """
    with using(folder):
        at = store.iter(bounds)
        at.seek(last)
        if at.valid() and at.key() == last:
            at.next()
        at.status()


class StoreSnapshot:
    """A store as it was at one moment, until the store is closed."""

    def __init__(self, snapshot: Snapshot, folder: Path) -> None:
        self._snapshot: Snapshot | None = snapshot
        self._folder = folder

    def __getitem__(self, key: bytes) -> bytes:
        """The value of a key that is there. Raises `StoreDamaged`, `StoreClosed`."""
        snapshot = self._snapshot
        if snapshot is None:
            raise StoreClosed(self._folder)
        with using(self._folder):
            value: bytes = snapshot[key]
            return value

    def cut(self) -> None:
        """Ends the snapshot: later reads fail."""
        self._snapshot = None


class OpenSnapshots:
    """The open snapshots of one store. May be used by several threads.

    A snapshot keeps its store open, so a slow or stopped reader would keep the store from its next
    owner.
    """

    def __init__(self) -> None:
        self._views: WeakSet[StoreSnapshot] = WeakSet()
        self._lock = threading.Lock()

    def add(self, view: StoreSnapshot) -> StoreSnapshot:
        """Register a snapshot, which `cut` will end; returns the same snapshot."""
        with self._lock:
            self._views.add(view)
        return view

    def cut(self) -> None:
        """End all snapshots: a read in progress finishes, the next one fails."""
        with self._lock:
            views = list(self._views)
            self._views.clear()
        for view in views:
            view.cut()


def open_store(folder: Path, options: Options) -> Rdict:
    """The store in `folder`, created if it does not exist. Blocking.

    Raises `StoreHeld`, `StoreBusy` and `StoreFailed`.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(folder, error) from error
    if is_damaged(folder):
        shutil.rmtree(folder, ignore_errors=True)
    with using(folder):
        return _opened(folder, options)


def _opened(folder: Path, options: Options) -> Rdict:
    try:
        return Rdict(str(folder), options)
    except Exception as error:
        if _of_disk(error):
            raise
        if _OTHERS in str(error):
            raise StoreBusy(
                f"{folder}: another process uses this store",
                remedy="Give each worker a folder of its own: EMBERLINE_DATA_DIR",
            ) from error
        if _OURS not in str(error):
            # A store that cannot be opened is worth nothing: the changelog has it all.
            shutil.rmtree(folder, ignore_errors=True)
            return Rdict(str(folder), options)
    # Who had it may be gone but for a cycle of frames and errors, and full collections are rare.
    gc.collect()
    try:
        return Rdict(str(folder), options)
    except Exception as error:
        # A snapshot keeps a store open, and a read that is under way has one.
        raise StoreHeld(
            f"{folder}: still in use in this process", remedy="It is tried again"
        ) from error


def close_store(folder: Path, store: Rdict) -> None:
    """Close a store. Data that the disk no longer accepts is still in the changelog. Blocking."""
    try:
        store.close()
    except Exception as error:
        log.warning("%s was not closed properly and will be filled again: %s", folder, error)
