"""`emberline audience`: the users who match a filter, from a running worker."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from agents.cli.calling import asked, call
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.terminal.say import Sink, say, stdout
from schemas.errors import Recoverable, UsageError
from streams.settings import Settings

__all__ = ["command", "count", "stream"]

_NDJSON = "application/x-ndjson"


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
    type=Word(["ndjson", "count"]),
    default="ndjson",
    show_default=True,
    help="All users, a line each, or how many they are.",
)
@click.option("--limit", type=click.IntRange(min=0), help="Only so many users, the first in order.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    filter_: str,
    now: str | None,
    on_expired: str,
    format_: str,
    limit: int | None,
    as_json: bool,
) -> None:
    """With --json the worker's answer: count, the first users, the excluded sources."""
    body: dict[str, Any] = {"filter": _filter(filter_), "on_expired": on_expired}
    if now is not None:
        body["now"] = now
    settings = settings_of(ctx)
    if as_json or format_ == "count":
        if format_ == "count":
            limit = 0
        answer = run(count(settings, body if limit is None else body | {"limit": limit}))
        if as_json:
            emit(answer)
            return
        say(str(answer["count"]))
        if answer["excluded_expired"]:
            _warn(answer["excluded_expired"])
        return
    if limit is not None:
        body["limit"] = limit
    excluded = run(stream(settings, body, stdout()))
    if excluded:
        _warn(excluded)


async def count(settings: Settings, body: dict[str, Any]) -> dict[str, Any]:
    """The worker's answer as one page. Raises Fatal or Recoverable if there is none."""
    return await asked(settings, "POST", "/audience", json=body)


async def stream(settings: Settings, body: dict[str, Any], sink: Sink) -> list[str]:
    """Write all users to `sink`, NDJSON; returns the expired sources that were left out.

    Raises Fatal or Recoverable if there is no answer, or an incomplete one.
    """
    tail = b""
    headers = {"Accept": _NDJSON}
    async with call(settings, "POST", "/audience", json=body, headers=headers) as answer:
        async for piece in answer.content.iter_chunked(1 << 18):
            sink.write(piece)
            tail += piece
            # what is left is the last line, or what there is of it
            tail = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    try:
        last: dict[str, Any] = json.loads(tail)
        if "complete" not in last:
            raise ValueError("another line")
    except ValueError as error:
        raise Recoverable("The answer is incomplete", remedy="Discard it and try again") from error
    sink.flush()
    return list(last.get("excluded_expired", ()))


def _filter(text: str) -> Any:
    if text == "-" or text.startswith("@"):
        name = text.removeprefix("@")
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name} cannot be read: {error}") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"The filter is not JSON: {error}",
            remedy='Write {"filter": "received_from_campaign", "campaign": "ID"}, or @FILE',
        ) from error


def _warn(sources: list[str]) -> None:
    say(f"left out, because their data is archived: {', '.join(sources)}", err=True)
