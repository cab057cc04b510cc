"""Reads a state store without changing it, also while a worker uses it.

Files of RocksDB never change once they are written, except for the manifest. So the copy has links
to the files, which keeps those that the worker deletes meanwhile, and copies of the small ones. It
shows the store as of the last flush: values and position together.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from rocksdict import AccessType, Cache, Rdict

from schemas.errors import Recoverable
from streams.state.rocks import store_options
from streams.state.state_store import FORMAT_KEY, POSITION, STAMP

__all__ = ["StoreCopy", "StoreUnreadable"]

_CACHE_BYTES = 8_000_000
_MEMTABLE_BYTES = 1_000_000
_TRIES = 5
_LINKED = (".sst", ".blob")


class StoreUnreadable(Recoverable):
    """A store cannot be read: its files are damaged."""


class StoreCopy:
    """A copy of the store in `folder`. Use it as a context; blocks.

    Raises `StoreUnreadable` if it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._scratch: Path | None = None
        self._store: Rdict | None = None

    def __enter__(self) -> Self:
        for left in range(_TRIES)[::-1]:
            try:
                self._open()
            except Exception as error:
                self._close()
                # a file may go while the files are linked
                if not left:
                    raise StoreUnreadable(
                        f"{self.folder} cannot be read ({error})",
                        remedy="Stop its worker and delete the folder: it is filled anew",
                    ) from error
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._close()

    @property
    def position(self) -> int:
        """The changelog offset up to which it is applied; 0 for an empty store."""
        return self._stamp()[0]

    @property
    def stamp_ms(self) -> int:
        """When the last record below `position` was appended: UTC ms, by the broker's clock."""
        return self._stamp()[1]

    def get(self, key: bytes) -> bytes | None:
        """The value of a key. Raises `StoreUnreadable`."""
        try:
            value: bytes | None = self._opened().get(key)
        except Exception as error:
            raise self._unreadable(error) from error
        return value

    def items(self, low: bytes = b"", high: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The keys in `[low, high)` and their values, in the order of the keys, without the
        position; None is above every key. Raises `StoreUnreadable`.
        """
        # an iterator of the library ends where it meets damage, and only its status says so
        at = self._opened().iter()
        at.seek(low)
        while at.valid():
            key: bytes = at.key()
            if high is not None and key >= high:
                return
            if key not in (POSITION, FORMAT_KEY):
                value = self.get(key)
                if value is not None:
                    yield key, value
            at.next()
        try:
            at.status()
        except Exception as error:
            raise self._unreadable(error) from error

    def _stamp(self) -> tuple[int, int]:
        value = self.get(POSITION)
        if value is None:
            return 0, 0
        position, appended = STAMP.unpack(value)
        return position, appended

    def _opened(self) -> Rdict:
        if self._store is None:
            raise RuntimeError("the copy is not open")
        return self._store

    def _unreadable(self, error: Exception) -> StoreUnreadable:
        return StoreUnreadable(
            f"{self.folder} cannot be read ({error})",
            remedy="Stop its worker and delete the folder: it is filled anew",
        )

    def _open(self) -> None:
        try:
            # beside the store: links do not reach another file system
            self._scratch = Path(tempfile.mkdtemp(prefix="verify-", dir=self.folder.parent))
        except OSError:
            self._scratch = Path(tempfile.mkdtemp(prefix="emberline-verify-"))
        names = sorted(path.name for path in self.folder.iterdir() if path.is_file())
        # what names files comes before the files
        names.sort(key=lambda name: (name.endswith(_LINKED), name))
        for name in names:
            self._take(self.folder / name, self._scratch / name)
        for path in self.folder.iterdir():  # written since the names were read
            if path.suffix in _LINKED and not (self._scratch / path.name).exists():
                self._take(path, self._scratch / path.name)
        options = store_options(Cache(_CACHE_BYTES), memtable_bytes=_MEMTABLE_BYTES, open_files=-1)
        options.create_if_missing(False)
        self._store = Rdict(str(self._scratch), options, access_type=AccessType.read_only())

    def _take(self, file: Path, to: Path) -> None:
        try:
            if file.suffix in _LINKED:
                try:
                    os.link(file, to)
                except FileNotFoundError:
                    raise
                except OSError:
                    shutil.copyfile(file, to)
            else:
                shutil.copyfile(file, to)
        except FileNotFoundError:
            pass  # deleted meanwhile; if the manifest needs it, opening fails

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
