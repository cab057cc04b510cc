"""`emberline export`: the rows of a source, from a running worker, to stdout or a file."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import aiohttp
import click

from agents.cli.options import Word, emit, json_option, key_header, run, settings_of
from schemas.errors import EmberlineError, Fatal, Recoverable, UsageError
from streams.settings import Settings

__all__ = ["command", "fetch"]

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
_REMEDIES = {
    "source_hidden": "Bring it back with `emberline restore {source}`",
    "unknown_source": "`GET /sources` lists the sources; write campaign:ID or canvas:ID",
    "shards_unavailable": "Try again in a moment",
    "unauthorized": "Set EMBERLINE_API_KEY to a key that the worker knows",
    "forbidden": "Set EMBERLINE_API_KEY to a key with that scope",
}
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command("export", help="Write all rows of SOURCE, such as campaign:ID.")
@click.argument("source")
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
    """All rows or an error: what breaks off is never left looking whole."""
    if as_json and output is None:
        raise UsageError("--json needs --output: the rows themselves go to stdout")
    with _sink(output) as sink:
        size = run(fetch(settings_of(ctx), source, format_, sink))
    if as_json:
        facts = {"source": source, "format": format_, "output": str(output), "bytes": size}
        emit(facts)
    elif output is not None:
        click.echo(f"{output}: {size:,} bytes", err=True)


async def fetch(settings: Settings, source: str, format_: str, sink: BinaryIO) -> int:
    """Write the worker's answer to `sink`; returns its length in bytes.

    Raises Fatal or Recoverable where there is no answer, or not a whole one.
    """
    host = _ANYWHERE.get(settings.http_host, settings.http_host)
    base = f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"
    url = f"{base}/sources/{quote(source, safe=':')}/interactions?format={format_}"
    size, tail = 0, b""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, headers=key_header(settings)) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise _refusal(source, answer.status, await answer.read())
            async for piece in answer.content.iter_chunked(1 << 18):
                sink.write(piece)
                size += len(piece)
                tail = (tail + piece)[-200:]
    except aiohttp.ClientConnectorError as error:
        raise Fatal(
            f"No worker answers at {base}",
            remedy="Start one with `emberline worker`, or set --http-host and --http-port",
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _broken(source, size) from error
    if format_ == "ndjson" and b'"complete": true' not in tail.rstrip().rpartition(b"\n")[2]:
        raise _broken(source, size)
    sink.flush()
    return size


def _refusal(source: str, status: int, body: bytes) -> EmberlineError:
    try:
        problem = json.loads(body)
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        return Fatal(
            f"{source}: the worker answers {status}: {body[:200].decode(errors='replace')}"
        )
    kind = Recoverable if status == 503 else Fatal
    return kind(detail, remedy=_REMEDIES.get(code, "").format(source=source))


def _broken(source: str, size: int) -> Recoverable:
    message = f"The rows of {source} broke off after {size} bytes"
    return Recoverable(message, remedy="Throw them away and try again")


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise Fatal(f"{output} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
