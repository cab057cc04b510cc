"""`emberline send`: a few records typed by hand, checked before they are sent."""

import sys
from pathlib import Path

import click
import orjson

from agents.cli.options import emit, json_option, run, settings_of
from agents.publish import Chunk, publish
from agents.records import TYPES, Kind, kind_of_record, ready, refuse_unknown_fields
from schemas.codec import Undecodable
from schemas.errors import UsageError

__all__ = ["command"]


@click.command("send", help=f"Send records of TYPE: {', '.join(TYPES)}.")
@click.argument("kind", metavar="TYPE")
@click.argument("record", metavar="[JSON|@FILE|-]", default="-")
@click.option("--delete", is_flag=True, help="Delete the definition or user with this key.")
@json_option
@click.pass_context
def command(ctx: click.Context, kind: str, record: str, delete: bool, as_json: bool) -> None:
    """Send one JSON object, or an array of them; of a file or of the standard input.

    With --delete the argument is the key instead: campaign:ID, or a user's id.
    """
    found = kind_of_record(kind)
    if delete:
        if found.name not in ("definition", "user"):
            raise UsageError("An event cannot be deleted", remedy="--delete takes definition, user")
        chunk = Chunk(found.topic, [record.encode()], [None])
    else:
        pairs = [_checked(found, item) for item in _objects(_text(record))]
        chunk = Chunk(found.topic, [key for key, _ in pairs], [value for _, value in pairs])
    settings = settings_of(ctx)
    run(publish(settings, [chunk]))
    keys = [(key or b"").decode() for key in chunk.keys]
    if as_json:
        emit({"topic": settings.prefix + found.topic, "sent": len(keys), "keys": keys})
    else:
        click.echo(f"sent {len(keys)} to {settings.prefix}{found.topic}")


def _text(record: str) -> bytes:
    if record == "-":
        return sys.stdin.buffer.read()
    if not record.startswith("@"):
        return record.encode()
    try:
        return Path(record[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"{record[1:]}: {error.strerror}", remedy="Check the name") from error


def _objects(text: bytes) -> list[dict[str, object]]:
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise UsageError(f"This is no JSON: {error}", remedy="Quote it for the shell") from error
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, dict) for item in values):
        raise UsageError("A record is a JSON object", remedy='Write {"field": value, ...}')
    return values


def _checked(kind: Kind, record: dict[str, object]) -> tuple[bytes, bytes]:
    refuse_unknown_fields(kind, record)
    try:
        return ready(kind, orjson.dumps(record))
    except Undecodable as error:
        raise UsageError(f"{kind.name}: {error.message}", remedy=error.remedy) from error
