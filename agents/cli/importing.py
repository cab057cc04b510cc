"""`emberline import`: imports events, definitions and users from files, with progress."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from agents.cli.import_report import ImportReporter
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.terminal.amounts import period, size
from agents.terminal.lines import misspelt_lines
from agents.terminal.progress import LiveLine
from agents.terminal.say import say
from agents.terminal.table import show
from agents.tools.feed.csv_files import CsvFiles
from agents.tools.feed.currents_files import CurrentsFiles
from agents.tools.feed.mapping_file import plain_mapping, read_mapping
from agents.tools.import_files import Bad, RecordFiles
from agents.tools.importer import (
    FileReader,
    Imported,
    ImportOptions,
    ImportProgress,
    import_files,
)
from agents.tools.inspection import Inspection
from agents.tools.records import TYPES, ids_of, kind_of_record, plain_ids
from schemas.errors import Fatal, UsageError
from schemas.records.misspelt import MISSPELT
from schemas.words.plural import counted, plural
from streams.clock import SystemClock
from streams.settings import Settings

__all__ = ["command"]

SHOWN_BAD = 20
LIVE_EVERY_S = 0.2
PLAIN_EVERY_S = 5.0
CURRENTS = "braze-currents"
_RECORDS = "records"
_CSV = "csv"


@click.command("import", help="Send the records of files: Avro, JSON lines, CSV, exports of Braze.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--from",
    "source",
    type=Word([_RECORDS, CURRENTS, _CSV]),
    default=_RECORDS,
    show_default=True,
    help="What the files are: records of emberline, an export of Braze Currents, or CSV.",
)
@click.option(
    "--event",
    metavar="TYPE",
    help=f"What the records are: {', '.join(TYPES)}.  [default: each record's field `type`, "
    "or the name of an Avro file's schema]",
)
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML: which column of CSV is which field.  [default: columns have the fields' names]",
)
@click.option("--again", is_flag=True, help="From the beginning, also what was imported before.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, and send nothing.")
@click.option(
    "--on-error",
    type=Word(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="Leave bad records out, or end at the first one.",
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also add each bad record to this file, as a line of JSON: where, why.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    rejects: Path | None,
    as_json: bool,
    **words: Any,
) -> None:
    """FILES may be compressed (gzip, zstd), and folders; - is standard input.

    Exits with 1 if there were bad records; the others are sent anyway. An interrupted import
    continues after the acknowledged part.
    """
    settings = settings_of(ctx)
    given = _Given(**words)
    options = ImportOptions(given.again, given.dry_run, given.on_error == "stop")
    with _rejects(rejects) as more:
        shown = _Shown(more, quiet=as_json)
        done = run(_import(settings, files, _reader(settings, given), options, shown))
    shown.end()
    if as_json:
        emit({**asdict(done), "dry_run": given.dry_run})
    else:
        _report(done, given.dry_run)
    if done.bad:
        were = counted(done.bad, "bad record was", "bad records were")
        say(f"emberline: {were} left out", err=True)
    for line in misspelt_lines([asdict(one) for one in MISSPELT.found()]):
        say(line, err=True)
    ctx.exit(1 if done.bad else 0)


@dataclass(frozen=True, slots=True)
class _Given:
    """The options that say what is read and how."""

    source: str
    event: str | None
    mapping: Path | None
    again: bool
    dry_run: bool
    on_error: str


def _reader(settings: Settings, given: _Given) -> FileReader:
    if given.mapping and given.source != _CSV:
        raise UsageError("--mapping belongs to --from csv", remedy="Add --from csv")
    ids = plain_ids if given.dry_run else ids_of(settings)
    if given.source == CURRENTS:
        if given.event:
            raise UsageError(
                f"--from {CURRENTS} takes no --event", remedy="Each file says which events it has"
            )
        return CurrentsFiles(ids, settings.max_field_bytes, SystemClock())
    if given.source == _CSV:
        if not given.mapping and not given.event:
            raise UsageError(
                "--from csv does not say what the rows are",
                remedy="Give --mapping FILE, or --event TYPE if columns have the fields' names",
            )
        mapping = (
            read_mapping(given.mapping, given.event)
            if given.mapping
            else plain_mapping(kind_of_record(given.event or "").name)
        )
        return CsvFiles(mapping, ids, settings.max_field_bytes, SystemClock())
    kind = kind_of_record(given.event) if given.event else None
    return RecordFiles(kind, Inspection(settings))


async def _import(
    settings: Settings,
    files: tuple[Path, ...],
    reader: FileReader,
    options: ImportOptions,
    shown: "_Shown",
) -> Imported:
    async with ImportReporter(settings) as reporter:

        def progress(now: ImportProgress) -> None:
            shown.progress(now)
            if not options.dry_run:
                reporter.tell(now)

        return await import_files(
            settings, files, reader, options=options, progress=progress, bad=shown.bad
        )


def _report(done: Imported, dry_run: bool) -> None:
    if done.types:
        show(("TYPE", "TOPIC", "SENT", "BAD", "SKIPPED", "WHY"), _rows(done))
    files_were = plural(done.already, "file was", "files were")
    before = f", {done.already} {files_were} done before (--again repeats)"
    what = "would be sent; reading took" if dry_run else "sent in"
    sent = f"{counted(done.records, 'record')} {what} {done.seconds:.1f} s"
    skipped = f", {done.skipped:,} skipped"
    say(sent + skipped * bool(done.skipped) + before * bool(done.already))


def _rows(done: Imported) -> Iterator[tuple[object, ...]]:
    for name, tally in sorted(done.types.items()):
        reasons = sorted(tally.skipped.items(), key=lambda one: -one[1]) or [("", 0)]
        first = (name, tally.topic or None, tally.sent, tally.bad or None)
        for at, (why, count) in enumerate(reasons):
            yield (*(first if at == 0 else (None,) * 4), count or None, why or None)


@contextmanager
def _rejects(file: Path | None) -> Iterator[Callable[[Bad], object]]:
    """Adds bad records to the file. Raises Fatal if it cannot be written."""
    if file is None:
        yield lambda one: None
        return
    try:
        with file.open("a", encoding="utf-8") as out:
            yield lambda one: out.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
    except OSError as error:
        raise Fatal(
            f"{file} cannot be written: {error.strerror}", remedy="Name a writable file"
        ) from error


class _Shown:
    """Progress: on a terminal one live line, elsewhere a line every few seconds."""

    def __init__(self, more: Callable[[Bad], object], quiet: bool) -> None:
        self._quiet = quiet
        self._live = LiveLine("Import", "bytes", quiet=quiet)
        self._next = 0.0
        self._bad = 0
        self._more = more

    def progress(self, now: ImportProgress) -> None:
        if self._quiet or now.seconds < self._next:
            return
        records = f"{counted(now.records, 'record')}, {now.per_second:,.0f}/s"
        if self._live.shows:
            self._next = now.seconds + LIVE_EVERY_S
            self._live.show(now.done_bytes, now.total_bytes, more=records)
            return
        self._next = now.seconds + PLAIN_EVERY_S
        left = "" if now.seconds_left is None else f", {period(now.seconds_left)} left"
        say(f"{size(now.done_bytes)} of {size(now.total_bytes)}, {records}{left}", err=True)

    def bad(self, one: Bad) -> None:
        self._more(one)
        self._bad += 1
        if self._bad > SHOWN_BAD:
            return
        self.end()
        say(f"{one.where}: {one.why}", err=True)
        if self._bad == SHOWN_BAD:
            say("further bad records are counted only", err=True)

    def end(self) -> None:
        """Erase the live line."""
        self._live.clear()
