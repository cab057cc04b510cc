"""Opens a disposable RocksDB store: one that cannot be opened is emptied, one in use is not."""

import gc
import shutil
from pathlib import Path

from rocksdict import Options, Rdict

from schemas.errors import Fatal, Recoverable

__all__ = ["StoreBusy", "StoreHeld", "open_store"]


#: How RocksDB says whose lock it is; other messages have the word in them, too.
_OTHERS = "While lock file"
_OURS = "lock hold by current process"


class StoreBusy(Fatal):
    """Another process has a local store open."""


class StoreHeld(Recoverable):
    """This process has a local store open still; in a moment it will not."""


def open_store(folder: Path, options: Options) -> Rdict:
    """The store in `folder`, made where there is none. Blocking.

    Raises `StoreHeld` and `StoreBusy`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(folder), options)
    except Exception as error:
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
        # A snapshot keeps a store open, and an answer that is still being read has one.
        raise StoreHeld(
            f"{folder}: still in use in this process", remedy="It is tried again"
        ) from error
