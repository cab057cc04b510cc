"""`emberline erase` and `emberline erasures`: users are erased for ever, and receipts of that."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from agents.cli.asking import request_options
from agents.cli.options import emit, json_option, run, settings_of
from agents.coordinator.rules.bounds import command_fault, request_id_fault
from agents.coordinator.sealing import key_or_fault, sealed
from agents.requests.erasure_facts import receipt_facts
from agents.requests.facts import state_of
from agents.terminal.say import emit_end, say
from agents.terminal.table import show, when
from agents.views.request_view import RequestView
from schemas.errors import UsageError
from schemas.records.lifecycle import Command, CommandType
from schemas.words.plural import counted
from streams.period import parse, seconds
from streams.settings import Settings

__all__ = ["erase", "erasures"]

_MOST_BYTES = 10_000_000
_KIND = CommandType.ERASE.value


@click.command(
    "erase",
    help="Erase users for ever: from every answer at once, then from hot data and from the "
    "archive. This cannot be undone. A user who comes back on purpose begins anew.",
)
@click.argument("users", nargs=-1, metavar="[USER]...")
@click.option(
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="More users, one a line; - is stdin.",
)
@click.option("--yes", is_flag=True, help="Ask no confirmation.")
@request_options
@click.pass_context
def erase(
    ctx: click.Context, /, users: tuple[str, ...], file: Path | None, yes: bool, **given: Any
) -> NoReturn:
    """USER is an id, as events have it."""
    # Kafka, which only a command that runs needs
    from agents.tools.operator_requests import ask, command

    settings, as_json = settings_of(ctx), bool(given["as_json"])
    record = _command([*users, *_lines(file)], given)
    if not (yes or record.dry_run):
        _confirm(len(record.users))
    key = key_or_fault(settings)
    if not isinstance(key, str):
        # nobody who reads the topic learns who it was
        record = sealed(record, key, settings.partitions)
    sent = command(
        _KIND, dry_run=record.dry_run, request_id=record.request_id, reason=record.reason
    ) | {"users": list(record.users)}

    def told(result: Mapping[str, Any]) -> None:
        if not as_json:
            say(f"{result['outcome']}: {result['message']}", err=True)

    silence_s = seconds(parse(given["deadline"]))
    answer = run(ask(settings, sent, wait=given["wait"], silence_s=silence_s, on_result=told))
    whole = answer.whole or {}
    if as_json:
        emit(
            {"request_id": answer.request_id, "users": len(record.users)}
            | {name: whole.get(name) for name in ("outcome", "code", "message", "done", "total")}
            | {"receipt": None if record.dry_run else _receipt(settings, answer.request_id)}
        )
    elif not (record.dry_run or answer.bad):
        say(f"`emberline erasures {answer.request_id}` shows the receipt.", err=True)
    ctx.exit(1 if answer.bad else 0)


@click.command(
    "erasures",
    help="List requests that erase users; or show the receipt of one: what is gone from where, and "
    "what remains until when.",
)
@click.argument("request", required=False)
@click.option(
    "--of",
    "user",
    metavar="USER",
    help="Look for a user in all that is stored, and say where rows are. Exit code 1 if there are.",
)
@json_option
@click.pass_context
def erasures(ctx: click.Context, request: str | None, user: str | None, as_json: bool) -> None:
    """The requests of the last 30 days. REQUEST is an id."""
    if user is not None:
        if request is not None:
            raise UsageError("erasures: REQUEST and --of together", remedy="Give one of them")
        ctx.exit(0 if _look(settings_of(ctx), user, as_json) else 1)
    view = run(_read(settings_of(ctx)))
    found = [one for one in view.newest() if one.type == CommandType.ERASE]
    if request is None:
        rows = [
            {
                "request_id": one.request_id,
                "time": one.time,
                "state": state_of(one, view),
                "actor": one.actor,
                "message": "" if one.whole is None else one.whole.message,
            }
            for one in reversed(found)
        ]
        _list(rows, as_json)
        return
    receipt = view.erasures.receipt(request)
    if receipt is None:
        raise UsageError(
            f"No request that erased users is called {request[:250]!r}",
            remedy="`emberline erasures` lists those of the last 30 days",
        )
    facts = receipt_facts(receipt)
    if as_json:
        emit({"request_id": request, **facts})
    else:
        _show(facts)


def _command(users: Sequence[str], given: Mapping[str, Any]) -> Command:
    """The command that the arguments describe. Raises UsageError."""
    request_id = given["request_id"]
    if request_id is not None and (fault := request_id_fault(request_id)) is not None:
        raise UsageError(
            f"--request-id {request_id[:80]!r} {fault}", remedy="Take another one, or none"
        )
    if not users:
        raise UsageError("erase: no user is named", remedy="Name one by its id, or give --file")
    made = Command(
        _KIND,
        users=tuple(dict.fromkeys(users)),
        dry_run=given["dry_run"],
        request_id=request_id,
        reason=given["reason"],
    )
    if (fault := command_fault(made)) is not None:
        raise UsageError(f"erase: {fault}", remedy="`emberline erase --help` has the options")
    return made


def _lines(file: Path | None) -> list[str]:
    """The users of a file. Raises UsageError."""
    if file is None:
        return []
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(_MOST_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise UsageError(
            f"--file {file}: {why}", remedy="Name a file of users, one a line"
        ) from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"--file {file}: more than {_MOST_BYTES} bytes", remedy="Ask in parts")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _confirm(count: int) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "erase: nobody can be asked for a confirmation",
            remedy="Look with --dry-run, then give --yes",
        )
    if not click.confirm(f"Erase {counted(count, 'user')} for ever? This cannot be undone."):
        raise UsageError("Nobody is erased", remedy="--dry-run says what would happen")


async def _read(settings: Settings) -> RequestView:
    # Kafka, which only a command that runs needs
    from agents.coordinator.rules import ledger
    from streams.kafka.foreign_records import pass_over
    from streams.kafka.kafka_log import KafkaLog
    from streams.kafka.topic_reader import read_stored
    from streams.kafka.topics import Topics

    view, topic = RequestView(), Topics(settings.prefix).coordinator
    async for _, partition, record in read_stored(KafkaLog(settings), topic):
        try:
            view.apply(record.key, record.value, record.offset)
        except ledger.Unreadable as error:
            pass_over(topic, partition, record.offset, error.message)
    return view


def _look(settings: Settings, user: str, as_json: bool) -> bool:
    """Show everything that is stored of a user; whether that is nothing. Raises UsageError."""
    # Kafka, which only a command that runs needs
    from agents.verify.user_traces import PLACES, user_traces
    from streams.kafka.environment import Environment

    if (fault := command_fault(Command(_KIND, users=(user,)))) is not None:
        raise UsageError(f"--of: {fault}", remedy="Name a user by the id that events have")
    found = run(user_traces(Environment.of(settings), user))
    if as_json:
        emit(found.facts())
        return found.gone
    show(("place", "rows"), [(place, f"{found.rows[place]:,}") for place in PLACES])
    for where in found.where:
        say(where)
    for unread in found.unread:
        say(f"cannot be read: {unread}", err=True)
    if found.uncompacted:
        say(
            f"{counted(found.uncompacted, 'row')} in former values of the changelog, which Kafka "
            "removes when it compacts the log"
        )
    return found.gone


def _receipt(settings: Settings, request_id: str) -> dict[str, Any] | None:
    found = run(_read(settings)).erasures.receipt(request_id)
    return None if found is None else receipt_facts(found)


def _list(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        for row in rows:
            emit(row)
        emit_end(len(rows))
        return
    names = ("request", "time", "state", "by", "how far")
    show(
        names,
        [
            (row["request_id"], when(row["time"]), row["state"], row["actor"] or "", row["message"])
            for row in rows
        ],
    )


def _show(facts: Mapping[str, Any]) -> None:
    show(
        ("place", "state", "since", "until", "rows", "why"),
        [
            (
                place["place"],
                place["state"],
                when(place["at"]) if place["at"] else "",
                when(place["until"]) if place["until"] else "",
                "" if place["rows"] is None else f"{place['rows']:,}",
                place["why"],
            )
            for place in facts["places"]
        ],
    )
    say()
    say(f"{counted(facts['users'], 'user')}; {facts['done']} of {facts['shards']} shards are done")
    if facts["held"]:
        say(f"Held, and so kept, hidden: {', '.join(facts['held'])}")
