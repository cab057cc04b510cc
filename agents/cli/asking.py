"""The common parts of the operators' commands: sources or a tag as arguments, one result for each
source.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

import click

from agents.cli.completing import SOURCE, TAG
from agents.cli.named import Named, named
from agents.cli.options import emit, json_option, run, settings_of
from agents.cli.told import ToldRequest, states_of
from agents.coordinator.rules.bounds import command_fault, request_id_fault
from agents.requests.availability import availability
from agents.terminal.say import say
from agents.terminal.table import columns
from schemas.errors import UsageError
from schemas.records.lifecycle import ALREADY_SO, Command, CommandRefusal, Outcome, SourceState
from schemas.words.nearest import nearest_key
from schemas.words.plural import plural
from streams.clock import SystemClock
from streams.period import parse, seconds
from streams.settings import Settings

if TYPE_CHECKING:
    from agents.tools.operator_requests import RequestAnswer

__all__ = ["carry_out", "request_options", "sources_argument", "sources_in"]

F = TypeVar("F", bound=Callable[..., Any])

_CHANGING = ("restore", "hold", "unhold", "expire", "cancel")
_MOST_LISTED = 16 << 20
"""Bytes of a file of sources: of as many as one request may name, and more."""
_MOST_SAID = 20
"""Refusals that a terminal shows one by one."""


def sources_argument(function: F) -> F:
    """SOURCE..., --from and --tag, at least one of them."""
    tag = click.option("--tag", type=TAG, metavar="TAG", help="All sources with this tag as well.")
    sources = click.argument("sources", type=SOURCE, nargs=-1, metavar="[SOURCE]...")
    listed = click.option(
        "--from",
        "file",
        type=click.File("rb"),
        metavar="FILE",
        help="A file with more sources, one on each line; - is the standard input.",
    )
    return sources(listed(tag(function)))


def sources_in(file: BinaryIO) -> tuple[str, ...]:
    """The sources of a file, one on each line; empty lines count for nothing. Raises UsageError."""
    found = file.read(_MOST_LISTED + 1)
    if len(found) > _MOST_LISTED:
        raise UsageError(
            f"--from: the file has more than {_MOST_LISTED:,} bytes", remedy="Ask in parts"
        )
    try:
        lines = found.decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            "--from: the file is not UTF-8", remedy="Write one source a line"
        ) from error
    return tuple(line.strip() for line in lines if line.strip())


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
    notify: tuple[str, ...] = (),
    legal: bool = False,
) -> NoReturn:
    """Send the command, show its results, and exit with 1 if something was refused."""
    if needs_sources and not sources and tag is None:
        raise UsageError(
            f"{kind}: no source is named",
            remedy="Name one by its key, id or name, or give --tag TAG or --from FILE",
        )
    if request_id is not None and (fault := request_id_fault(request_id)) is not None:
        raise UsageError(
            f"--request-id {request_id[:80]!r} {fault}", remedy="Take another one, or none"
        )
    if tag == "":
        raise UsageError(f"{kind}: --tag is empty", remedy="Name a tag, or leave --tag out")
    if legal and not reason:
        raise UsageError(f"{kind}: --legal needs --reason", remedy="Say why: it is evidence")
    # what the coordinator would refuse is refused without it
    fault = command_fault(Command(kind, sources, tag=tag, notify=notify, reason=reason))
    if fault is not None:
        raise UsageError(f"{kind}: {fault}", remedy=f"`emberline {kind} --help` has the options")
    # Kafka, which only a command that runs needs
    from agents.tools.operator_requests import ask, command

    settings = settings_of(ctx)
    if notify and not settings.smtp_host:
        say(
            "emberline: --notify: smtp_host is not set here: no mail is sent unless the worker's "
            "settings name a mail server",
            err=True,
        )
    meant = run(named(settings, kind, sources)) if needs_sources else Named(sources)
    if not as_json:
        meant.say()
    record = command(
        kind,
        meant.keys,
        tag=tag,
        dry_run=dry_run,
        request_id=request_id,
        reason=reason,
        notify=notify,
    )
    if legal:
        record["legal"] = True
    told = ToldRequest(kind, quiet=as_json)
    try:
        answer = run(
            ask(
                settings, record, wait=wait, silence_s=seconds(parse(deadline)), on_result=told.take
            )
        )
    finally:
        told.end()
    states: dict[str, SourceState] = {}
    # of what is still under way, nothing has changed yet
    if (wait or dry_run) and kind in _CHANGING and not all(map(_refused, answer.sources.values())):
        states = run(states_of(settings))
    if as_json:
        emit(_facts(answer, states) | {"understood": meant.facts()})
    else:
        told.report(states, SystemClock().now_ms(), dry_run=dry_run)
        _complain(settings, answer.bad, told.untold)
    ctx.exit(1 if answer.bad else 0)


def _refused(result: Mapping[str, Any]) -> bool:
    return bool(result["outcome"] == Outcome.REFUSED and result["code"] not in ALREADY_SO)


def _complain(settings: Settings, bad: Sequence[Mapping[str, Any]], untold: int) -> None:
    known: list[str] | None = None
    most = len(bad) if columns() is None else _MOST_SAID
    for result in bad[:most]:
        what = result["source"] or f"request {result['request_id']}"
        message = result["message"].removeprefix(f"{what}: ")
        detail = f": {message}" if message else ""
        if result["source"] and result["code"] == CommandRefusal.UNKNOWN_SOURCE:
            known = sorted(run(states_of(settings))) if known is None else known
            # one that is known has no definition, as the message says
            near = None if result["source"] in known else nearest_key(result["source"], known)
            detail += f". Did you mean {near}?" if near else ""
        say(f"emberline: {what} {result['outcome']} ({result['code']}){detail}", err=True)
    if len(bad) > most:
        rest = len(bad) - most
        were = plural(rest, "was", "were")
        say(f"emberline: {rest:,} more {were} refused or failed; see --json", err=True)
    if untold:
        say(
            f"emberline: {untold:,} more {plural(untold, 'source')} of the request "
            f"{plural(untold, 'has', 'have')} no result here: GET /requests/{{id}} counts them",
            err=True,
        )


def _facts(answer: "RequestAnswer", states: Mapping[str, SourceState]) -> dict[str, Any]:
    names = ("outcome", "code", "message", "done", "total", "time")

    def part(result: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if result is None:
            return None
        return {name: result[name] for name in names} | {"already": result["code"] in ALREADY_SO}

    def one(source: str, result: Mapping[str, Any]) -> dict[str, Any]:
        record = states.get(source)
        until, because = availability(record)
        now = {
            "name": record and record.name,
            "state": record and record.state.value,
            "available_until": until,
            "available_because": because,
        }
        return {**(part(result) or {}), **now}

    return {
        "request_id": answer.request_id,
        "request": part(answer.whole),
        "sources": {source: one(source, result) for source, result in answer.sources.items()},
    }
