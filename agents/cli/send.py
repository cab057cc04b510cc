"""`emberline send`: sends a few records typed by hand, after a check."""

import sys
from pathlib import Path

import click
import orjson

from agents.cli.options import emit, json_option, run, settings_of
from agents.coordinator.rules.bounds import unfit
from agents.terminal.say import say
from agents.tools.inspection import Inspection
from agents.tools.publish import Chunk, publish
from agents.tools.records import TYPES, Ids, Kind, kind_of_record, ready, refuse_unknown_fields
from schemas.errors import UsageError
from schemas.records.codec import Undecodable
from schemas.records.lifecycle import Definition, Status
from schemas.words.plural import plural

__all__ = ["command"]

_SHOWN = 20


@click.command("send", help=f"Send records of TYPE: {', '.join(TYPES)}.")
@click.argument("kind", metavar="TYPE")
@click.argument("record", metavar="[JSON|@FILE|-]", default="-")
@click.option("--delete", is_flag=True, help="Delete the definition or user with this key.")
@json_option
@click.pass_context
def command(ctx: click.Context, kind: str, record: str, delete: bool, as_json: bool) -> None:
    """Send one JSON object, or an array of them, from the argument, a file or standard input.

    With --delete the argument is the key instead: campaign:ID, or a user's id.
    """
    found = kind_of_record(kind)
    settings = settings_of(ctx)
    inspection = Inspection(settings)
    if delete:
        if found.name not in ("definition", "user"):
            raise UsageError("An event cannot be deleted", remedy="--delete takes definition, user")
        pairs: list[tuple[bytes, bytes | None]] = [(_key(found, record), None)]
    else:
        pairs = [
            _checked(found, item, f"[{at}]: " if several else "", inspection.ids)
            for at, item, several in _objects(_text(record))
        ]
    _refuse_faults(found, pairs, inspection.faults(found, pairs))
    chunk = Chunk(found.topic, [key for key, _ in pairs], [value for _, value in pairs])
    run(publish(settings, [chunk]))
    keys = [(key or b"").decode() for key in chunk.keys]
    if as_json:
        emit({"topic": settings.prefix + found.topic, "sent": len(keys), "keys": keys})
    else:
        say(f"sent {len(keys)} to {settings.prefix}{found.topic}")


def _text(record: str) -> bytes:
    if record == "-":
        return sys.stdin.buffer.read()
    if not record.startswith("@"):
        return record.encode()
    try:
        return Path(record[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"{record[1:]}: {error.strerror}", remedy="Check the name") from error


def _key(kind: Kind, key: str) -> bytes:
    if kind.name == "definition":
        found = unfit(Definition(key, Status.STOPPED))
        if found is not None:
            raise UsageError(f"{key[:80]!r} is no key of a definition", remedy=found[1])
    return key.encode()


def _refuse_faults(
    kind: Kind, pairs: list[tuple[bytes, bytes | None]], faults: dict[int, str]
) -> None:
    """Raise UsageError if workers would reject any record: then none is sent."""
    if not faults:
        return
    if len(pairs) == 1:
        raise UsageError(f"{kind.name}: {faults[0]}")
    for at, fault in list(faults.items())[:_SHOWN]:
        say(f"[{at}]: {fault}", err=True)
    raise UsageError(
        f"{len(faults)} of {len(pairs)} {plural(len(pairs), 'record')} would be rejected: "
        "nothing was sent",
        remedy="Correct them, or send only the others",
    )


def _objects(text: bytes) -> list[tuple[int, dict[str, object], bool]]:
    """(position, record, whether there are several) of each."""
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise UsageError(f"This is no JSON: {error}", remedy="Quote it for the shell") from error
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, dict) for item in values):
        raise UsageError("A record is a JSON object", remedy='Write {"field": value, ...}')
    return [(at, item, len(values) > 1) for at, item in enumerate(values)]


def _checked(kind: Kind, record: dict[str, object], where: str, ids: Ids) -> tuple[bytes, bytes]:
    try:
        refuse_unknown_fields(kind, record)
        return ready(kind, orjson.dumps(record), ids)
    except (UsageError, Undecodable) as error:
        message = (
            error.message if isinstance(error, UsageError) else f"{kind.name}: {error.message}"
        )
        raise UsageError(f"{where}{message}", remedy=error.remedy) from error
