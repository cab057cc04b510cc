"""`emberline export`: the rows of a source, from a running worker, to stdout or a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import click

from agents.cli.calling import call
from agents.cli.completing import SOURCE
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.terminal.say import Sink, say, stdout
from schemas.errors import Fatal, Recoverable, UsageError
from streams.settings import Settings

__all__ = ["command", "fetch"]


@click.command("export", help="Write all rows of SOURCE, such as campaign:ID.")
@click.argument("source", type=SOURCE)
@click.option(
    "--format",
    "format_",
    type=Word(["ndjson", "csv", "parquet"]),
    default="ndjson",
    show_default=True,
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; it appears only when it is whole.  [default: stdout]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, source: str, format_: str, output: Path | None, as_json: bool
) -> None:
    """All rows or an error: an incomplete answer never looks complete."""
    if as_json and output is None:
        raise UsageError("--json needs --output: the rows themselves go to stdout")
    if format_ == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("A terminal cannot show Parquet", remedy="Name a file with --output")
    with _sink(output) as sink:
        size = run(fetch(settings_of(ctx), source, format_, sink))
    if as_json:
        facts = {"source": source, "format": format_, "output": str(output), "bytes": size}
        emit(facts)
    elif output is not None:
        say(f"{output}: {size:,} bytes", err=True)


async def fetch(settings: Settings, source: str, format_: str, sink: Sink) -> int:
    """Write the worker's answer to `sink`; returns its length in bytes.

    Raises Fatal or Recoverable if there is no answer, or an incomplete one.
    """
    path = f"/sources/{quote(source, safe=':')}/interactions?format={format_}"
    size, tail = 0, b""
    async with call(settings, "GET", path) as answer:
        async for piece in answer.content.iter_chunked(1 << 18):
            sink.write(piece)
            size += len(piece)
            tail = (tail + piece)[-200:]
    if format_ == "ndjson" and b'"complete": true' not in tail.rstrip().rpartition(b"\n")[2]:
        raise _broken(source, size)
    sink.flush()
    return size


def _broken(source: str, size: int) -> Recoverable:
    message = f"The rows of {source} are incomplete: they end after {size} bytes"
    return Recoverable(message, remedy="Discard the users and try again")


@contextmanager
def _sink(output: Path | None) -> Iterator[Sink]:
    if output is None:
        yield stdout()
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise Fatal(
            f"{output} cannot be written: {error.strerror}", remedy="Name a writable file"
        ) from error
    finally:
        part.unlink(missing_ok=True)
