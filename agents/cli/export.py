"""`emberline export`: the rows of a source, from a running worker, to stdout or a file."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import click

from agents.cli.calling import KEY_NEEDED, call, segment
from agents.cli.completing import SOURCE
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.cli.sink import check_output, output_option, sink
from agents.terminal.say import Sink, say
from schemas.errors import Recoverable
from streams.settings import Settings

__all__ = ["Fetched", "command", "fetch"]


@click.command("export", help="Write all rows of SOURCE, such as campaign:ID.")
@click.argument("source", type=SOURCE)
@click.option(
    "--format",
    "format_",
    type=Word(["ndjson", "csv", "parquet"]),
    default="ndjson",
    show_default=True,
)
@output_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, source: str, format_: str, output: Path | None, as_json: bool
) -> None:
    """All rows or an error: an incomplete answer never looks complete."""
    check_output(format_, output, as_json=as_json)
    with sink(output) as file:
        found = run(fetch(settings_of(ctx), source, format_, file))
    if as_json:
        emit(
            {
                "source": found.source,
                "name": found.name,
                "format": format_,
                "output": str(output),
                "bytes": found.size,
            }
        )
    elif output is not None:
        named = f' "{found.name}"' if found.name else ""
        say(f"{output}: {found.size:,} bytes of {found.source}{named}", err=True)


class Fetched(NamedTuple):
    """The length of an answer in bytes, and the key and the name of the source that it is about."""

    size: int
    source: str
    name: str


async def fetch(settings: Settings, source: str, format_: str, sink: Sink) -> Fetched:
    """Write the worker's answer to `sink`.

    Raises Fatal or Recoverable if there is no answer, or an incomplete one.
    """
    path = f"/sources/{segment(source, KEY_NEEDED)}/interactions?format={format_}"
    size, tail = 0, b""
    async with call(settings, "GET", path) as answer:
        key, name = (
            unquote(answer.headers.get(header, ""))
            for header in ("Emberline-Source", "Emberline-Source-Name")
        )
        async for piece in answer.content.iter_chunked(1 << 18):
            sink.write(piece)
            size += len(piece)
            tail = (tail + piece)[-200:]
    if format_ == "ndjson" and b'"complete": true' not in tail.rstrip().rpartition(b"\n")[2]:
        raise _broken(source, size)
    sink.flush()
    return Fetched(size, key or source, name)


def _broken(source: str, size: int) -> Recoverable:
    message = f"The rows of {source} are incomplete: they end after {size} bytes"
    return Recoverable(message, remedy="Discard the users and try again")
