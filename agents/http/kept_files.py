"""Files that are made in the background and kept for a stated time.

A file lies in the spool, so the quota of answers on disk limits all of them together. A worker that
ends deletes its files; those of a worker that was killed are deleted by the next one in the same
data folder (`agents.http.spool.clean_up`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.http.problems import Problem
from agents.http.quota import Quota, Spooled
from streams.clock import Clock
from streams.ending import end_all

__all__ = ["MOST_FILES", "FileMaker", "KeptFile", "KeptFiles"]

log = logging.getLogger(__name__)

MOST_FILES = 1_000
"""Files of one worker, those that are being made and failures among them."""
_SHARE = 3 / 4
"""The part of the files, and of the bytes on disk, that one owner may have."""


@dataclass(slots=True, eq=False)
class KeptFile:
    """One file. `begun` is done once its maker has made all checks, or has failed before that;
    `ended` is set once the file is there, or never will be.

    `path` is set while the file is there, until the time `until_ms` (UTC milliseconds). `failed`
    says why it never will be. `users` and `facts` are the maker's, about what is in the file.
    `owner` is who asked for it: the name of a key.
    """

    name: str
    begun: asyncio.Future[None]
    owner: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    path: Path | None = None
    until_ms: int | None = None
    failed: str | None = None
    users: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    spooled: Spooled | None = None


FileMaker = Callable[[KeptFile, Spooled], Awaitable[Path]]
"""Makes a file in a folder and returns its path; sets `begun`, `users` and `facts`."""


class KeptFiles:
    """The files of one worker. Use it in one event loop, and close it."""

    def __init__(self, quota: Quota, clock: Clock, keep_s: float) -> None:
        self._quota = quota
        self._clock = clock
        self._keep_s = keep_s
        self._files: dict[str, KeptFile] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, name: str) -> KeptFile | None:
        """The file, also if it is being made or has failed; None if it is unknown or over."""
        return self._files.get(name)

    async def start(self, name: str, make: FileMaker, owner: str = "") -> KeptFile:
        """Begin to make a file, and return once its maker has begun.

        Raises Problem (503) if there are too many files, or if `owner` has its share of them or of
        their bytes already, and what the maker raises before it has begun.
        """
        if len(self._files) >= MOST_FILES:
            raise Problem("busy", f"The worker keeps {MOST_FILES:,} files, the most: ask later")
        own = [file for file in self._files.values() if file.owner == owner]
        size = sum(file.spooled.bytes for file in own if file.spooled is not None)
        if len(own) >= MOST_FILES * _SHARE or size >= self._quota.most * _SHARE:
            raise Problem(
                "busy",
                f"This key has {len(own):,} files of {size:,} bytes, which is its share: ask later",
            )
        file = KeptFile(name, asyncio.get_running_loop().create_future(), owner)
        self._files[name] = file
        task = asyncio.create_task(self._keep(file, make))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await file.begun
        except BaseException:
            # also if who asked has left: nobody knows the name
            await end_all([task])
            raise
        return file

    async def close(self) -> None:
        """Stop making files, and delete those that are there."""
        tasks = list(self._tasks)
        await end_all(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("a file was not let go: %r", error)

    async def _keep(self, file: KeptFile, make: FileMaker) -> None:
        try:
            await self._made(file, make)
            if file.failed is not None:
                await asyncio.sleep(self._keep_s)
        finally:
            self._files.pop(file.name, None)

    async def _made(self, file: KeptFile, make: FileMaker) -> None:
        """Make the file and keep it; return at once if that fails."""
        try:
            with self._quota.folder() as spooled:
                file.spooled = spooled
                file.path = await make(file, spooled)
                file.until_ms = self._clock.now_ms() + int(self._keep_s * 1000)
                file.ended.set()
                await asyncio.sleep(self._keep_s)
        except asyncio.CancelledError:
            raise
        # a panic of a native library derives from BaseException: it ends this file only
        except BaseException as error:
            if not file.begun.done():
                file.begun.set_exception(error)
                return
            log.warning("the file %s cannot be made: %s", file.name, error)
            file.failed = _why(error)
            file.ended.set()
        finally:
            file.path = file.spooled = None


def _why(error: BaseException) -> str:
    """The words for clients: paths of this machine and panics are for the log alone."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, Exception) else "The worker's log has the details"
