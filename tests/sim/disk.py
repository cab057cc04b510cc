"""The local disks of the workers: real RocksDB stores, and what a crash leaves of them.

The write-ahead log of all stores is off, so a crash loses what has not been flushed. Each process
of a worker has a folder of its own: at a crash the folder of the next one is made from it.

RocksDB has threads of its own, in real time. They are given nothing to do: which files a store has
when it is copied, and which one is damaged, must be the same in every run of a seed.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from random import Random
from unittest.mock import patch

from rocksdict import Options, Rdict

from streams.state import rocks

__all__ = ["AfterCrash", "Disks"]

_DATA = (".sst", ".blob")


class AfterCrash(StrEnum):
    """What a crash leaves of a worker's local stores."""

    UNFLUSHED = "unflushed"
    """All but what RocksDB had in memory."""
    FLUSHED = "flushed"
    LOST = "lost"
    DAMAGED = "damaged"
    """One byte of a file is another."""
    CUT = "cut"
    """One file has lost its end."""
    ROLLED_BACK = "rolled back"
    """As it was when an earlier process began."""


class Disks:
    """All folders of a run, below `root`; every store that is open."""

    def __init__(self, root: Path, random: Random) -> None:
        self.root = root
        self._random = random
        self._open: dict[str, list[Rdict]] = {}
        self._former: dict[str, Path] = {}
        self._numbers: dict[str, int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, every store that is opened is known here."""

        def opened(path: str, options: Options) -> Rdict:
            options.set_disable_auto_compactions(True)
            options.set_stats_dump_period_sec(0)
            options.set_stats_persist_period_sec(0)
            options.set_max_file_opening_threads(1)
            store = Rdict(path, options)
            self._open.setdefault(str(Path(path).parent), []).append(store)
            return store

        with patch.object(rocks, "Rdict", opened):
            try:
                yield
            finally:
                for folder in [*self._open]:
                    self._close(Path(folder))

    def new(self, worker: str) -> Path:
        """The empty folder of a worker's first process."""
        folder = self.root / worker / "0"
        folder.mkdir(parents=True)
        self._numbers[worker] = 0
        return folder

    def kept(self, worker: str, folder: Path) -> None:
        """Keep a copy of the stores as they are, to be rolled back to. Their process must be killed
        next.
        """
        self._settle(folder)
        former = self.root / worker / "former"
        shutil.rmtree(former, ignore_errors=True)
        shutil.copytree(folder, former)
        self._former[worker] = former

    def crashed(self, worker: str, folder: Path, after: AfterCrash) -> Path:
        """The folder of the next process, after the one that used `folder` was killed."""
        if after not in (AfterCrash.UNFLUSHED, AfterCrash.LOST, AfterCrash.ROLLED_BACK):
            self._flush(folder)
        self._settle(folder)
        self._numbers[worker] += 1
        fresh = self.root / worker / str(self._numbers[worker])
        if after is AfterCrash.ROLLED_BACK and worker in self._former:
            shutil.copytree(self._former[worker], fresh)
        elif after is AfterCrash.LOST:
            fresh.mkdir()
        else:
            shutil.copytree(folder, fresh)
        if after in (AfterCrash.DAMAGED, AfterCrash.CUT):
            self._damage(fresh, cut=after is AfterCrash.CUT)
        self._close(folder)
        shutil.rmtree(folder, ignore_errors=True)
        return fresh

    def _flush(self, folder: Path) -> None:
        for store in self._open.get(str(folder), ()):
            try:
                store.flush()
            except Exception as error:
                # It was closed before, in an orderly way, or its folder has been emptied.
                del error

    def _settle(self, folder: Path) -> None:
        """End the threads of the stores, which delete files while others are copied."""
        for store in self._open.get(str(folder), ()):
            try:
                store.cancel_all_background(True)
            except Exception as error:
                # as above
                del error

    def _close(self, folder: Path) -> None:
        for store in self._open.pop(str(folder), ()):
            try:
                store.close()
            except Exception as error:
                del error

    def _damage(self, folder: Path, *, cut: bool) -> None:
        files = sorted(file for file in folder.rglob("*") if file.suffix in _DATA)
        files = [file for file in files if file.stat().st_size > 1]
        if not files:
            return
        file = self._random.choice(files)
        data = bytearray(file.read_bytes())
        at = self._random.randrange(len(data))
        if cut:
            del data[at:]
        else:
            data[at] ^= 1 << self._random.randrange(8)
        file.write_bytes(data)
