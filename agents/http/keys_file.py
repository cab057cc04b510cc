"""The keys file: read only if nobody except its owner may write it, and changed by one process at a
time.

A change takes the lock of `FILE.lock`, reads the file, and replaces it by a new one with the same
owner and mode: so the same users can read it, whoever runs the command.
"""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Fatal

__all__ = ["locked", "read", "replace"]

MOST_BYTES = 10_000_000
LOCK_S = 10.0
_POLL_S = 0.02
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_MODE = 0o600


def read(file: Path) -> bytes | None:
    """The content; None if the file does not exist. Blocking.

    Raises ValueError if others than its owner may write the file, or it is no regular file;
    OSError.
    """
    try:
        # never wait for the other end of a pipe
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_mode & _WRITABLE:
            raise ValueError(
                f"others than its owner may write it (mode {stat.S_IMODE(found.st_mode):o}): "
                f"chmod 600 {file}"
            )
        for folder in {file.absolute().parent, file.resolve().parent}:
            # a link may be replaced where it lies, too
            _check_folder(folder, found.st_uid)
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content


def _check_folder(folder: Path, owner: int) -> None:
    """A user who may write the folder could replace the file. In a folder where users can remove
    only their own files (/tmp), anybody could create the first one.
    """
    found = folder.stat()
    if not found.st_mode & stat.S_IWOTH:
        return
    if not found.st_mode & stat.S_ISVTX:
        raise ValueError(f"everybody may write its folder: chmod o-w {folder}")
    if owner not in (0, os.geteuid(), found.st_uid):
        raise ValueError(f"everybody may write its folder {folder}, and it is of user {owner}")


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep other processes from changing the file. Blocking. Raises Fatal after `LOCK_S`."""
    file = file.resolve()
    lock = file.with_name(f"{file.name}.lock")
    deadline = time.monotonic() + LOCK_S
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(lock, flags, _MODE)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        _give(handle, file)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Fatal(
                        f"The keys file {file} has been changed by somebody for {LOCK_S:.0f} s",
                        remedy=f"End the `emberline keys` that holds {lock}, and try again",
                    ) from error
            time.sleep(_POLL_S)
        yield
    except OSError as error:
        raise _unwritable(file, error) from error
    finally:
        os.close(handle)


def replace(file: Path, content: bytes) -> None:
    """Replace the file atomically, with its owner and mode. A first file is private to its owner;
    root gives it to the owner of the folder. Raises Fatal.
    """
    file = file.resolve()
    part: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=file.name, suffix=".part", dir=file.parent)
        part = Path(name)
        with os.fdopen(handle, "wb") as opened:
            _give(handle, file)
            opened.write(content)
            opened.flush()
            os.fsync(handle)
        part.replace(file)
        part = None
        _sync(file.parent)
    except OSError as error:
        raise _unwritable(file, error) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _give(handle: int, file: Path) -> None:
    """Set owner and mode of `file`; if there is none yet, the folder's owner."""
    mine = os.fstat(handle)
    try:
        former = os.stat(file)
        mode = stat.S_IMODE(former.st_mode) & ~_WRITABLE
    except FileNotFoundError:
        former = os.stat(file.parent) if os.geteuid() == 0 else mine
        mode = _MODE
    if (mine.st_uid, mine.st_gid) != (former.st_uid, former.st_gid):
        os.fchown(handle, former.st_uid, former.st_gid)
    os.fchmod(handle, mode)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(file: Path, error: OSError) -> Fatal:
    return Fatal(
        f"The file {file} cannot be written: {error.strerror}",
        remedy="Run this as its owner, or set another place for it",
    )
