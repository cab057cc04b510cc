"""The common parts of the operators' commands: sources or a tag as arguments, one result for each
source.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import click

from agents.cli.completing import SOURCE, TAG
from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.say import say
from agents.tools.operator_requests import RequestAnswer, ask, command
from schemas.errors import EmberlineError, UsageError
from schemas.records.lifecycle import CommandRefusal
from schemas.words.nearest import nearest_key
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_table
from streams.kafka.topics import Topics
from streams.period import parse, seconds
from streams.settings import Settings

__all__ = ["carry_out", "request_options", "sources_argument"]

F = TypeVar("F", bound=Callable[..., Any])


def sources_argument(function: F) -> F:
    """SOURCE... and --tag, at least one of them."""
    tag = click.option("--tag", type=TAG, metavar="TAG", help="All sources with this tag as well.")
    sources = click.argument("sources", type=SOURCE, nargs=-1, metavar="[SOURCE]...")
    return sources(tag(function))


def request_options(function: F) -> F:
    """The options of every request."""
    for option in reversed(
        (
            click.option("--reason", metavar="TEXT", help="Why; kept in the audit."),
            click.option(
                "--request-id",
                metavar="ID",
                help="The same id again is the same request: nothing happens twice. "
                "Another command under it is refused.",
            ),
            click.option(
                "--wait/--no-wait",
                default=True,
                show_default=True,
                help="Wait for the end, or only until the request is accepted.",
            ),
            click.option(
                "--deadline",
                metavar="PERIOD",
                default="PT30S",
                show_default=True,
                help="Give up when nothing was heard for so long.",
            ),
            click.option("--dry-run", is_flag=True, help="Say what would happen, do nothing."),
            json_option,
        )
    ):
        function = option(function)
    return function


def carry_out(
    ctx: click.Context,
    kind: str,
    sources: tuple[str, ...] = (),
    *,
    tag: str | None = None,
    needs_sources: bool = True,
    dry_run: bool,
    wait: bool,
    deadline: str,
    request_id: str | None,
    reason: str | None,
    as_json: bool,
    notify_email: str | None = None,
) -> NoReturn:
    """Send the command, show its results, and exit with 1 if something was refused."""
    if needs_sources and not sources and tag is None:
        raise UsageError(
            f"{kind}: no source is named", remedy="Name campaign:ID, canvas:ID or --tag TAG"
        )
    record = command(
        kind,
        sources,
        tag=tag,
        dry_run=dry_run,
        request_id=request_id,
        reason=reason,
        notify_email=notify_email,
    )
    answer = run(
        ask(
            settings_of(ctx),
            record,
            wait=wait,
            silence_s=seconds(parse(deadline)),
            on_result=(lambda result: None) if as_json else _show,
        )
    )
    if as_json:
        emit(_facts(answer))
    _complain(settings_of(ctx), answer.bad)
    ctx.exit(1 if answer.bad else 0)


def _show(result: Mapping[str, Any]) -> None:
    """One result as a line; progress is shown only on a terminal, on one line."""
    bad = result["outcome"] in ("refused", "failed")
    if bad or (result["outcome"] == "progress" and not sys.stdout.isatty()):
        return
    line = f"{result['source'] or 'request ' + result['request_id']}: {result['outcome']}"
    if result["message"]:
        line += f", {result['message']}"
    say(line)


def _complain(settings: Settings, bad: Iterable[Mapping[str, Any]]) -> None:
    known: list[str] | None = None
    for result in bad:
        what = result["source"] or f"request {result['request_id']}"
        detail = f": {result['message']}" if result["message"] else ""
        if result["source"] and result["code"] == CommandRefusal.UNKNOWN_SOURCE:
            known = run(_sources(settings)) if known is None else known
            near = nearest_key(result["source"], known)
            detail += f". Did you mean {near}?" if near else ""
        say(f"emberline: {what} {result['outcome']} ({result['code']}){detail}", err=True)


async def _sources(settings: Settings) -> list[str]:
    """The known sources, for a hint; empty if they cannot be read now."""
    try:
        return sorted(await read_table(KafkaLog(settings), Topics(settings.prefix).state, "state"))
    except EmberlineError:
        return []


def _facts(answer: RequestAnswer) -> dict[str, Any]:
    shown = ("outcome", "code", "message", "done", "total", "time")

    def part(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if result is None else {name: result[name] for name in shown}

    sources = {source: part(result) for source, result in answer.sources.items()}
    return {"request_id": answer.request_id, "request": part(answer.whole), "sources": sources}
