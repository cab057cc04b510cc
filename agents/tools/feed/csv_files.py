"""Reads CSV files by a mapping. Lines are counted as a text editor does, from 1."""

import csv
from collections.abc import Iterator
from hashlib import blake2b

import polars as pl

from agents.tools.feed.apply import Mapper
from agents.tools.feed.mapping_file import CsvMapping
from agents.tools.feed.opening import FileContent, guarded
from agents.tools.feed.packing import chunk_of, sources_of
from agents.tools.import_files import Bad, Batch, TypeCount
from agents.tools.import_journal import ImportPosition
from agents.tools.records import Ids
from schemas.errors import UsageError
from schemas.words.nearest import hint
from streams.clock import Clock

__all__ = ["CsvFiles"]

BATCH_ROWS = 10_000
LONGEST_LINE = 1_000_000
_BOM = b"\xef\xbb\xbf"


class CsvFiles:
    """Reads files with the columns that `mapping` names.

    `ids` gives the schema ids of the records, `most` is the longest text that workers accept.
    """

    suffixes = (".csv", ".tsv", ".txt")

    def __init__(self, mapping: CsvMapping, ids: Ids, most: int, clock: Clock) -> None:
        digest = blake2b(repr((mapping, mapping.text)).encode(), digest_size=8).hexdigest()
        self.label = f"csv:{mapping.rule.kind}:{digest}"
        self._mapping = mapping
        self._mapper = Mapper(mapping.rule, most)
        self._ids = ids
        self._clock = clock

    def batches(self, content: FileContent, start: ImportPosition) -> Iterator[Batch]:
        """The rest of a file from `start` on; an empty file gives nothing.

        Raises UsageError for a file that lacks a column, or that is no text of the encoding.
        """
        return guarded(content.file, self._batches(content, start))

    def _batches(self, content: FileContent, start: ImportPosition) -> Iterator[Batch]:
        lines = _Lines(content, self._mapping.encoding)
        rows = csv.reader(lines, delimiter=self._mapping.delimiter, strict=True)
        try:
            names = list(self._mapping.columns) or next(rows, [])
        except (csv.Error, _NoText) as error:
            raise UsageError(
                f"{content.file}:1: no line of names: {error}", remedy="Correct it, or the mapping"
            ) from error
        if not names:
            return
        self._check(content, names)
        if start.position:
            lines.go_on(start.position, start.records + start.blank)
        reached = ImportPosition(
            start.position, start.records, start.bad, start.blank or lines.number
        )
        while batch := self._batch(content, lines, rows, names, reached):
            reached = batch.reached
            yield batch

    def _check(self, content: FileContent, names: list[str]) -> None:
        for name in sorted(self._mapper.columns):
            if name not in names and self._mapping.text:
                raise UsageError(
                    f"{content.file}:1 has no column {name!r}", remedy=hint(name, names)
                )
        twice = {name for name in names if names.count(name) > 1}
        if twice & self._mapper.columns:
            raise UsageError(f"{content.file}:1 has the column {min(twice)!r} twice")
        if not self._mapper.columns & set(names):
            raise UsageError(
                f"{content.file}:1 has none of the columns "
                f"{', '.join(sorted(self._mapper.columns))}",
                remedy="Write a mapping file and give it with --mapping",
            )

    def _batch(
        self,
        content: FileContent,
        lines: "_Lines",
        rows: Iterator[list[str]],
        names: list[str],
        before: ImportPosition,
    ) -> Batch | None:
        """`blank` of a position has the lines that are no records of their own."""
        good: list[list[str]] = []
        at: list[int] = []
        bad: list[tuple[int, str]] = []
        while len(good) + len(bad) < BATCH_ROWS:
            line = lines.number + 1
            try:
                row = next(rows, None)
            except (csv.Error, _NoText) as error:
                bad.append((line, f"no row of CSV: {error}"))
                continue
            if row is None:
                break
            if not row:
                continue
            if len(row) != len(names):
                bad.append((line, f"{len(row)} columns, the first line has {len(names)}"))
                continue
            good.append(row)
            at.append(line)
        if not good and not bad and lines.position == before.position:
            return None
        frame = pl.DataFrame(good, schema=dict.fromkeys(names, pl.String), orient="row")
        read = frame.select(sorted(self._mapper.columns & set(names)))
        mapped = self._mapper.apply(read, self._clock.now_ms())
        bad += [(at[row], why) for row, why in mapped.faults]
        chunk = chunk_of(self._mapper.rule.kind, mapped.rows, self._ids)
        count = before.records + len(good) + len(bad) - len(mapped.faults)
        reached = ImportPosition(lines.position, count, before.bad + len(bad), lines.number - count)
        named = [Bad(f"{content.file}:{line}", why) for line, why in sorted(bad)]
        counted = TypeCount(chunk.topic, len(chunk.keys), len(bad))
        return Batch(
            reached,
            content.read(),
            [chunk],
            named,
            sources_of(mapped.rows),
            {f"csv {self._mapper.rule.kind}": counted},
        )


class _NoText(ValueError):
    """A line that is no text of the encoding."""


class _Lines:
    """The lines of a file as text; `position` and `number` are those of the lines read so far."""

    def __init__(self, content: FileContent, encoding: str) -> None:
        self._content = content
        self._encoding = encoding
        self.position = 0
        self.number = 0

    def go_on(self, position: int, number: int) -> None:
        """Continue behind the line `number`, which ends at `position`."""
        if self._content.plain:
            self._content.content.seek(position)
        else:
            self._content.content.read(position - self.position)
        self.position, self.number = position, number

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._content.content.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        first = not self.position
        self.position += len(line)
        self.number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            raise _NoText(f"a line of more than {LONGEST_LINE} bytes")
        try:
            return (line.removeprefix(_BOM) if first else line).decode(self._encoding)
        except UnicodeDecodeError as error:
            raise _NoText(f"byte {error.start + 1} is not {self._encoding}") from error
