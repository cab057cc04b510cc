"""The file with the key under which erased users are hashed: 64 hex digits in its first line.

All workers need the same key, for ever: whoever loses it cannot tell any more who was erased, and
whoever has it and the changelog can find out whether a certain user was.
"""

import os
import secrets
import stat
from pathlib import Path

from schemas.errors import Fatal, UsageError
from schemas.tables.erased import ErasureKey
from streams.settings import Settings

__all__ = ["erasure_key", "make"]

_KEY_BYTES = 32
_MOST_BYTES = 1_000
#: A group of the worker's own may read it: secrets of Kubernetes are of root and a group.
_OTHERS = stat.S_IWGRP | stat.S_IRWXO
_MODE = 0o600


def erasure_key(settings: Settings) -> ErasureKey | None:
    """The key; None if there is no such file. Blocking.

    Raises Fatal for a file that cannot be read, that everybody may read, or that others than its
    owner may write.
    """
    file = settings.erasure_key_file
    try:
        # never wait for the other end of a pipe
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(file, error.strerror or type(error).__name__) from error
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _unusable(file, "it is no file")
        if found.st_mode & _OTHERS:
            raise _unusable(
                file, f"everybody may read it, or others than its owner may write: chmod 600 {file}"
            )
        content = opened.read(_MOST_BYTES)
    try:
        return ErasureKey(bytes.fromhex(content.decode().split("\n", 1)[0].strip()))
    except ValueError as error:
        raise _unusable(file, "its first line is no key of 64 hex digits") from error


def make(file: Path) -> ErasureKey:
    """Make a key and write its file, for its owner alone. Blocking.

    Raises UsageError if the file exists, Fatal if it cannot be written.
    """
    key = ErasureKey(secrets.token_bytes(_KEY_BYTES))
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with os.fdopen(handle, "wb") as opened:
            opened.write(key.secret.hex().encode() + b"\n")
            opened.flush()
            os.fsync(handle)
    except FileExistsError as error:
        raise UsageError(
            f"There is a key in {file} already",
            remedy="Keep it: users were perhaps erased under it",
        ) from error
    except OSError as error:
        raise Fatal(
            f"The erasure key cannot be written to {file}: {error.strerror}",
            remedy="Set erasure_key_file to a place that can be written",
        ) from error
    return key


def _unusable(file: Path, why: str) -> Fatal:
    return Fatal(
        f"The erasure key in {file} cannot be used: {why}",
        remedy="Put the file back from its backup; `emberline keys erasure` makes a first one",
    )
