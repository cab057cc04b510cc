"""Imports files in batches. A position is stored after its batch is acknowledged, so an import can
continue.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from agents.tools.feed.opening import STDIN, FileContent, expand, opened
from agents.tools.import_files import Bad, Batch, TypeCounts
from agents.tools.import_journal import ImportPosition, Journal
from agents.tools.operator_requests import command
from agents.tools.publish import Chunk, Publisher
from schemas.errors import Fatal
from schemas.records import codec
from schemas.records.lifecycle import CommandType
from streams.settings import Settings

__all__ = ["FileReader", "ImportOptions", "ImportProgress", "Imported", "import_files"]

SAVE_EVERY_S = 1.0
SOURCES_AT_ONCE = 1_000
"""Sources that one command names."""


class FileReader(Protocol):
    """Reads files of one format."""

    @property
    def label(self) -> str:
        """What tells apart imports of the same file: another label is another import."""
        ...

    @property
    def suffixes(self) -> Sequence[str]:
        """How the names of its files end: those that are read of a folder."""
        ...

    def batches(self, content: FileContent, start: ImportPosition) -> Iterator[Batch]:
        """The rest of a file from `start` on; an empty file gives nothing.

        Raises Fatal for a damaged file, UsageError for one of another format.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """`again` begins every file at its beginning; `dry_run` reads and checks, and sends nothing;
    `stop` ends the import at the first bad record.
    """

    again: bool = False
    dry_run: bool = False
    stop: bool = False


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
class Imported(TypeCounts):
    """The result of an import: sent, bad and skipped records of this run, files finished in it and
    before it.
    """

    records: int = 0
    bad: int = 0
    skipped: int = 0
    files: int = 0
    already: int = 0


async def import_files(
    settings: Settings,
    paths: Sequence[Path],
    reader: FileReader,
    *,
    options: ImportOptions = ImportOptions(),
    progress: Callable[[ImportProgress], None] = lambda progress: None,
    bad: Callable[[Bad], None] = lambda bad: None,
) -> Imported:
    """Send the records of files and folders, starting after the acknowledged part of an earlier
    import. Standard input (`-`) has no such part.

    The journal is in the data folder; another broker, prefix or label of the reader is another
    import. Raises UsageError for a missing file, Fatal for a damaged one or a bad record at which
    the import stops, Recoverable if a send fails (call again to continue).
    """
    files = expand(paths, reader.suffixes)
    target = f"{settings.bootstrap_servers}|{settings.prefix}|{reader.label}"
    journal = Journal(settings.data_dir / "import.json", target)
    run = _Run(settings, journal, files, options, (progress, bad))
    async with AsyncExitStack() as stack:
        if not options.dry_run:
            run.publisher = await stack.enter_async_context(Publisher(settings))
        for file in files:
            if (options.again or options.dry_run) and file != STDIN:
                journal.forget(file)
            await run.file(file, reader)
        await run.save()
    run.imported.seconds = time.monotonic() - run.began
    return run.imported


class _Run:
    """One import, over all of its files."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        files: Sequence[Path],
        options: ImportOptions,
        tell: tuple[Callable[[ImportProgress], None], Callable[[Bad], None]],
    ) -> None:
        self.imported = Imported()
        self.began = time.monotonic()
        self.publisher: Publisher | None = None
        self._journal = journal
        self._options = options
        self._progress, self._bad = tell
        self._sizes = {file: 0 if file == STDIN else file.stat().st_size for file in files}
        self._total = sum(self._sizes.values())
        self._before = 0
        self._first: tuple[float, int] | None = None
        self._announced: set[str] = set()
        self._reached: dict[Path, ImportPosition] = {}
        self._saved = time.monotonic()

    async def file(self, file: Path, reader: FileReader) -> None:
        """Send the rest of a file."""
        start = ImportPosition() if file == STDIN else self._journal.reached(file)
        if start.done:
            self.imported.already += 1
        else:
            with opened(file) as content:
                self._reached[file] = start
                async for batch in self._ahead(reader.batches(content, start)):
                    await self._send(file, batch)
            self._reached[file] = replace(self._reached[file], done=True)
            self.imported.files += 1
        self._before += self._sizes[file]

    async def save(self) -> None:
        """Store the positions that have been reached, when all before them is acknowledged."""
        if self.publisher is None:
            return
        await self.publisher.flush()
        self._reached.pop(STDIN, None)
        self._journal.save(self._reached)
        # of these only the file that is being read goes on
        self._reached = {file: at for file, at in self._reached.items() if not at.done}
        self._saved = time.monotonic()

    async def _ahead(self, parts: Iterator[Batch]) -> AsyncIterator[Batch]:
        """The batches; the next one is read while one is being sent."""
        following = asyncio.create_task(asyncio.to_thread(next, parts, None))
        try:
            while True:
                try:
                    batch = await following
                except Fatal:
                    # what lies before the damage is in, and is not sent again
                    await self.save()
                    raise
                if batch is None:
                    return
                following = asyncio.create_task(asyncio.to_thread(next, parts, None))
                yield batch
        finally:
            # a thread cannot be cancelled, and what it reads must stay open until it has ended
            await asyncio.wait([following])
            if not following.cancelled():
                following.exception()

    async def _send(self, file: Path, batch: Batch) -> None:
        before = self._reached[file]
        if batch.bad and self._options.stop:
            await self.save()
            raise Fatal(
                f"{batch.bad[0].where}: {batch.bad[0].why}",
                remedy="Correct it, or leave out bad records with --on-error skip",
            )
        if self.publisher is not None:
            await self._announce(self.publisher, file, batch.sources)
            for chunk in batch.chunks:
                await self.publisher.publish(chunk)
        self._tell(file, batch, before)
        self._reached[file] = batch.reached
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            await self.save()

    async def _announce(self, publisher: Publisher, file: Path, sources: set[str]) -> None:
        """Report sources that had no event in this import before: a source that stopped long ago
        must not expire between its first imported event and its last.
        """
        fresh = sorted(sources - self._announced)
        self._announced.update(fresh)
        for at in range(0, len(fresh), SOURCES_AT_ONCE):
            some = tuple(fresh[at : at + SOURCES_AT_ONCE])
            record = command(CommandType.IMPORTED, some, reason=f"import of {file.name[:200]}")
            value = codec.encode("command", record)
            await publisher.publish(Chunk("control", [record["request_id"].encode()], [value]))

    def _tell(self, file: Path, batch: Batch, before: ImportPosition) -> None:
        fresh_bad = batch.reached.bad - before.bad
        self.imported.bad += fresh_bad
        self.imported.records += batch.reached.records - before.records - fresh_bad
        for name, tally in batch.tallies.items():
            self.imported.count(name, tally)
            self.imported.skipped += sum(tally.skipped.values())
        for one in batch.bad:
            self._bad(one)
        now, done = time.monotonic(), self._before + batch.read
        # what an earlier run has read says nothing about the speed of this one
        since, first = self._first = self._first or (now, done)
        left = (now - since) / (done - first) * (self._total - done) if done > first else None
        counts = (self.imported.records, self.imported.bad)
        self._progress(ImportProgress(file, *counts, done, self._total, now - self.began, left))
