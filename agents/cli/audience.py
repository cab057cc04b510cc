"""`emberline audience`: the users who match a filter, from a running worker."""

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click

from agents.cli.calling import asked, call
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.cli.sink import check_output, output_option, sink
from agents.terminal.say import Sink, say
from schemas.errors import Recoverable, UsageError
from schemas.records import strict_json
from streams.settings import Settings

__all__ = ["command", "count", "stream"]


@click.command("audience", help="Write the users that match FILTER, as JSON or @FILE (- is stdin).")
@click.argument("filter_", metavar="FILTER")
@click.option(
    "--now", help="Moment that durations are counted back from, such as an RFC 3339 time."
)
@click.option(
    "--on-expired",
    type=Word(["refuse", "exclude"]),
    default="refuse",
    show_default=True,
    help="What to do about filters whose data is archived.",
)
@click.option(
    "--format",
    "format_",
    type=Word(["ndjson", "csv", "parquet", "count"]),
    default="ndjson",
    show_default=True,
    help="All users, a line each, as a table or as a file; or how many they are.",
)
@click.option(
    "--columns",
    metavar="NAME,..",
    help="What is written of each user: user_id, external_id, aliases, user_aliases.  "
    "[default: the user id]",
)
@click.option("--limit", type=click.IntRange(min=0), help="Only so many users, the first in order.")
@output_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    filter_: str,
    format_: str,
    output: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """With --json the worker's answer: count, the first users, the excluded sources."""
    columns = given.pop("columns")
    asked_for = {name: value for name, value in given.items() if value is not None}
    body: dict[str, Any] = {"filter": _filter(filter_), **asked_for}
    if columns is not None:
        body["columns"] = [name.strip() for name in columns.split(",")]
    settings = settings_of(ctx)
    if format_ == "count" or (as_json and format_ == "ndjson" and output is None):
        if output is not None or columns is not None:
            raise UsageError(
                "--columns and --output are for users in rows",
                remedy="Leave them out, or name a --format, and a file with --output",
            )
        answer = run(count(settings, body | ({"limit": 0} if format_ == "count" else {})))
        if as_json:
            emit(answer)
            return
        for one in answer.get("understood", ()):
            _understood(one["given"], one["source"], one["name"])
        say(str(answer["count"]))
        if answer["excluded_expired"]:
            names = {one["source"]: one["name"] for one in answer["excluded"]}
            _warn([_called(key, names.get(key, "")) for key in answer["excluded_expired"]])
        return
    check_output(format_, output, as_json=as_json)
    with sink(output) as file:
        excluded = run(stream(settings, body, file, format_))
    size = None if output is None else output.stat().st_size
    if as_json:
        facts = {"format": format_, "output": str(output), "bytes": size}
        emit(facts | {"excluded_expired": excluded})
    elif size is not None:
        say(f"{output}: {size:,} bytes", err=True)
    if excluded and not as_json:
        _warn(excluded)


async def count(settings: Settings, body: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer as one page. Raises Fatal or Recoverable if there is none."""
    return await asked(settings, "POST", "/audience", json=body)


async def stream(
    settings: Settings, body: dict[str, Any], sink: Sink, format_: str = "ndjson"
) -> list[str]:
    """Write all users to `sink`; returns the expired sources that were left out (of CSV and Parquet
    the first ones).

    Raises Fatal or Recoverable if there is no answer, or an incomplete one.
    """
    tail = b""
    path = f"/audience?format={format_}"
    async with call(settings, "POST", path, json=body) as answer:
        async for piece in answer.content.iter_chunked(1 << 18):
            sink.write(piece)
            if format_ == "ndjson":
                tail = _last_line(tail + piece)
        named = answer.headers.get("Emberline-Excluded-Expired", "")
        for pair in filter(None, answer.headers.get("Emberline-Understood", "").split(",")):
            _understood(*map(unquote, pair.split("=", 1)))
    if format_ != "ndjson":
        sink.flush()
        return [unquote(source) for source in named.split(",") if source]
    try:
        last: dict[str, Any] = json.loads(tail)
        if "complete" not in last:
            raise ValueError("another line")
    except ValueError as error:
        raise Recoverable("The answer is incomplete", remedy="Discard it and try again") from error
    sink.flush()
    return list(last.get("excluded_expired", ()))


def _last_line(data: bytes) -> bytes:
    """The last line of some, or what there is of it."""
    return data[data.rfind(b"\n", 0, -1) + 1 :]


def _filter(text: str) -> Any:
    if text == "-" or text.startswith("@"):
        name = text.removeprefix("@")
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name} cannot be read: {error}") from error
    try:
        return strict_json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"The filter is not JSON: {error}",
            remedy='Write {"filter": "received_from_campaign", "campaign": "ID"}, or @FILE',
        ) from error


def _understood(text: str, key: str, name: str = "") -> None:
    say(f"{text}: {_called(key, name)}", err=True)


def _called(key: str, name: str) -> str:
    return f'{key} "{name}"' if name else key


def _warn(sources: list[str]) -> None:
    say(f"left out, because their data is archived: {', '.join(sources)}", err=True)
