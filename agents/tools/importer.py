"""Imports files in batches. A position is stored after its batch is acknowledged, so an import can
continue.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agents.tools.import_files import Bad, Batch, batches
from agents.tools.import_journal import ImportPosition, Journal
from agents.tools.inspection import Inspection
from agents.tools.operator_requests import command
from agents.tools.publish import Chunk, Publisher
from agents.tools.records import Kind
from schemas.errors import Fatal, UsageError
from schemas.records import codec
from schemas.records.lifecycle import CommandType
from streams.settings import Settings

__all__ = ["ImportProgress", "Imported", "import_files"]

SAVE_EVERY_S = 1.0
SOURCES_AT_ONCE = 1_000
"""Sources that one command names."""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """The progress of an import. Bytes are of all files together, earlier runs included."""

    file: Path
    records: int
    bad: int
    done_bytes: int
    total_bytes: int
    seconds: float
    seconds_left: float | None

    @property
    def per_second(self) -> float:
        """Records a second in this run."""
        return self.records / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Imported:
    """The result of an import: sent records and bad records of this run, files finished before."""

    records: int = 0
    bad: int = 0
    files: int = 0
    already: int = 0
    seconds: float = 0.0


async def import_files(
    settings: Settings,
    files: Sequence[Path],
    kind: Kind | None = None,
    *,
    again: bool = False,
    progress: Callable[[ImportProgress], None] = lambda progress: None,
    bad: Callable[[Bad], None] = lambda bad: None,
) -> Imported:
    """Send the records of the files, starting after the acknowledged part of an earlier import.

    The journal is in the data folder; another broker, prefix or kind is another import. With
    `again` every file starts from the beginning. Raises UsageError for a missing file, Fatal for a
    damaged one, Recoverable if a send fails (call again to continue).
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"There is no file {file}", remedy="Check its name")
    target = f"{settings.bootstrap_servers}|{settings.prefix}|{kind.name if kind else ''}"
    journal = Journal(settings.data_dir / "import.json", target)
    run = _Run(journal, files, kind, Inspection(settings), progress, bad)
    async with Publisher(settings) as publisher:
        for file in files:
            if again:
                journal.forget(file)
            await run.file(publisher, file)
    run.imported.seconds = time.monotonic() - run.began
    return run.imported


class _Run:
    """One import, over all of its files."""

    def __init__(
        self,
        journal: Journal,
        files: Sequence[Path],
        kind: Kind | None,
        inspection: Inspection,
        progress: Callable[[ImportProgress], None],
        bad: Callable[[Bad], None],
    ) -> None:
        self.imported = Imported()
        self.began = time.monotonic()
        self._journal = journal
        self._kind = kind
        self._inspection = inspection
        self._progress = progress
        self._bad = bad
        self._sizes = {file: file.stat().st_size for file in files}
        self._total = sum(self._sizes[file] for file in files)
        self._before = 0
        self._first: tuple[float, int] | None = None
        self._announced: set[str] = set()

    async def file(self, publisher: Publisher, file: Path) -> None:
        """Send the rest of a file."""
        start = reached = self._journal.reached(file)
        if start.done:
            self.imported.already += 1
        else:
            reached = await self._rest(publisher, file, start)
            self._journal.save(file, replace(reached, done=True))
            self.imported.files += 1
        self._before += self._sizes[file]

    async def _rest(
        self, publisher: Publisher, file: Path, start: ImportPosition
    ) -> ImportPosition:
        reached, saved = start, time.monotonic()
        parts = batches(file, self._kind, start, self._inspection)
        while batch := await self._next(publisher, file, parts, reached):
            await self._announce(publisher, file)
            for chunk in batch.chunks:
                await publisher.publish(chunk)
            self._tell(file, batch, reached)
            reached = batch.reached
            if time.monotonic() - saved > SAVE_EVERY_S:
                await publisher.flush()
                self._journal.save(file, reached)
                saved = time.monotonic()
        await publisher.flush()
        return reached

    async def _announce(self, publisher: Publisher, file: Path) -> None:
        """Report sources that had no event in this import before: a source that stopped long ago
        must not expire between its first imported event and its last.
        """
        found = filter(str.isprintable, self._inspection.take_sources())
        fresh = sorted(set(found) - self._announced)
        self._announced.update(fresh)
        for at in range(0, len(fresh), SOURCES_AT_ONCE):
            some = tuple(fresh[at : at + SOURCES_AT_ONCE])
            record = command(CommandType.IMPORTED, some, reason=f"import of {file.name[:200]}")
            value = codec.encode("command", record)
            await publisher.publish(Chunk("control", [record["request_id"].encode()], [value]))

    async def _next(
        self, publisher: Publisher, file: Path, parts: Iterator[Batch], reached: ImportPosition
    ) -> Batch | None:
        try:
            return await asyncio.to_thread(next, parts, None)
        except Fatal:
            # what lies before the damage is in, and is not sent again
            await publisher.flush()
            self._journal.save(file, reached)
            raise

    def _tell(self, file: Path, batch: Batch, before: ImportPosition) -> None:
        fresh_bad = batch.reached.bad - before.bad
        self.imported.bad += fresh_bad
        self.imported.records += batch.reached.records - before.records - fresh_bad
        for one in batch.bad:
            self._bad(one)
        now, done = time.monotonic(), self._before + batch.read
        # what an earlier run has read says nothing about the speed of this one
        since, first = self._first = self._first or (now, done)
        left = (now - since) / (done - first) * (self._total - done) if done > first else None
        counts = (self.imported.records, self.imported.bad)
        self._progress(ImportProgress(file, *counts, done, self._total, now - self.began, left))
