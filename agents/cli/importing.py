"""`emberline import`: imports events, definitions and users from files, with progress."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from agents.cli.import_report import ImportReporter
from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.amounts import period, size
from agents.terminal.lines import misspelt_lines
from agents.terminal.progress import LiveLine
from agents.terminal.say import say
from agents.tools.import_files import Bad
from agents.tools.importer import Imported, ImportProgress, import_files
from agents.tools.records import TYPES, Kind, kind_of_record
from schemas.records.misspelt import MISSPELT
from schemas.words.plural import counted, plural
from streams.settings import Settings

__all__ = ["command"]

SHOWN_BAD = 20
LIVE_EVERY_S = 0.2
PLAIN_EVERY_S = 5.0


@click.command("import", help="Send the records of Avro container files and JSON lines files.")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--event",
    metavar="TYPE",
    help=f"What the records are: {', '.join(TYPES)}.  [default: each record's field `type`, "
    "or the name of an Avro file's schema]",
)
@click.option("--again", is_flag=True, help="From the beginning, also what was imported before.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, files: tuple[Path, ...], event: str | None, again: bool, as_json: bool
) -> None:
    """Exits with 1 if there were bad records; the others are sent anyway.

    An interrupted import continues after the acknowledged part.
    """
    kind = kind_of_record(event) if event else None
    shown = _Shown(quiet=as_json)
    done = run(_import(settings_of(ctx), files, kind, again, shown))
    shown.end()
    if as_json:
        emit(asdict(done))
    else:
        files_were = plural(done.already, "file was", "files were")
        before = f", {done.already} {files_were} done before (--again repeats)"
        sent = f"{counted(done.records, 'record')} sent in {done.seconds:.1f} s"
        say(sent + before * bool(done.already))
    if done.bad:
        were = counted(done.bad, "bad record was", "bad records were")
        say(f"emberline: {were} left out", err=True)
    for line in misspelt_lines([asdict(one) for one in MISSPELT.found()]):
        say(line, err=True)
    ctx.exit(1 if done.bad else 0)


async def _import(
    settings: Settings, files: Sequence[Path], kind: Kind | None, again: bool, shown: "_Shown"
) -> Imported:
    async with ImportReporter(settings) as reporter:

        def progress(now: ImportProgress) -> None:
            shown.progress(now)
            reporter.tell(now)

        return await import_files(
            settings, files, kind, again=again, progress=progress, bad=shown.bad
        )


class _Shown:
    """Progress: on a terminal one live line, elsewhere a line every few seconds."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = LiveLine("Import", "bytes", quiet=quiet)
        self._next = 0.0
        self._bad = 0

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
