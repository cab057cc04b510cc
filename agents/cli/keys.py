"""`emberline keys`: the keys of the worker's HTTP interface."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from agents.cli.group import Words
from agents.cli.options import Word, emit, json_option, settings_of
from agents.http.keys import ISSUED, Keys, Scope
from agents.terminal.say import say
from agents.terminal.table import show, when
from schemas.errors import Fatal, UsageError
from schemas.words.mail_address import is_address
from streams.clock import SystemClock

__all__ = ["command"]


@click.group("keys", cls=Words, help="Give out, list and revoke the keys of the HTTP interface.")
def command() -> None:
    """Keys are stored as hashes in the file of the setting keys_file, which all workers share."""


@command.command("add", help="Make a key and print it: it is shown this once.")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=Word([scope.value for scope in ISSUED]),
    help="What it allows; may be repeated. read: counts and states; users.export: rows, users and "
    "their ids; operate: restore, hold, expire, cancel; metrics: /metrics alone, for Prometheus; "
    "admin: all.",
)
@click.option(
    "--email", default="", metavar="ADDRESS", help="Gets a mail when its restores are over."
)
@click.option("--if-missing", is_flag=True, help="Do nothing where there is one of this name.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the key to this new file, for its owner alone, and print nothing.",
)
@json_option
@click.pass_context
def add(
    ctx: click.Context,
    name: str,
    scopes: tuple[str, ...],
    email: str,
    if_missing: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """A running worker accepts the key a second later."""
    if email and not is_address(email):
        raise UsageError(f"--email: {email[:80]!r} is no mail address", remedy="Write ada@host")
    file = settings_of(ctx).keys_file
    made: list[str] = []

    def there(keys: Keys) -> bool:
        return if_missing and any(key.name == name for key in keys.keys)

    def added(keys: Keys) -> Keys:
        if there(keys):
            return keys
        keys, token = keys.add(name, map(Scope, scopes), SystemClock().now_ms(), email)
        made.append(token)
        return keys

    if out is None or there(Keys.load(file) or Keys()):
        Keys.change(file, added)
    else:
        with _private(out) as handle:
            Keys.change(file, added)
            handle.write("".join(f"{token}\n" for token in made))
    token = made[0] if made else None
    if as_json:
        shown = {"key": token} if out is None else {"out": str(out) if made else None}
        emit({"name": name, "scopes": list(scopes), **shown, "file": str(file)})
    elif token is None:
        say(f"There is a key {name} already: nothing was made.", err=True)
    elif out is not None:
        say(f"Written to {out}, and kept hashed in {file}.", err=True)
    else:
        say(token)
        say(f"Kept hashed in {file}; it cannot be shown again.", err=True)


@contextmanager
def _private(file: Path) -> Iterator[TextIO]:
    """A new file for its owner alone; it is removed again if nothing is written to it.

    Raises UsageError if there is such a file, Fatal if it cannot be written.
    """
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"--out: there is a file {file} already", remedy="Remove it, or name another one"
        ) from error
    except OSError as error:
        raise Fatal(
            f"--out: {file} cannot be written: {error.strerror}",
            remedy="Name a file in a folder that you may write",
        ) from error
    try:
        with os.fdopen(handle, "w") as opened:
            yield opened
    except OSError as error:
        raise Fatal(
            f"--out: {file} cannot be written: {error.strerror}",
            remedy="Make room there; then `emberline keys revoke` the key, and add it again",
        ) from error
    finally:
        if file.stat().st_size == 0:
            file.unlink()


@command.command("list", help="Names and scopes of all keys.")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Never shows the keys themselves, because only their hashes are stored."""
    keys = Keys.load(settings_of(ctx).keys_file) or Keys()
    rows = [(key.name, ", ".join(key.scopes), key.created_at, key.email) for key in keys.keys]
    if as_json:
        listed = [
            {"name": n, "scopes": s.split(", "), "created_at": at, "email": email or None}
            for n, s, at, email in rows
        ]
        emit({"keys": listed})
    else:
        shown = [(n, s, when(at), email) for n, s, at, email in rows]
        show(("name", "scopes", "created", "email"), shown)


@command.command("revoke", help="Take a key back; workers refuse it a second later.")
@click.argument("name")
@json_option
@click.pass_context
def revoke(ctx: click.Context, name: str, as_json: bool) -> None:
    """Revokes a key and keeps the file: without a keys file a worker would serve its own machine
    without keys.
    """
    file = settings_of(ctx).keys_file
    Keys.change(file, lambda keys: keys.revoke(name))
    if as_json:
        emit({"name": name, "revoked": True})
    else:
        say(f"Revoked {name}: workers refuse it a second later.", err=True)


@command.command(
    "erasure", help="Make the key under which `emberline erase` keeps erased users as hashes."
)
@json_option
@click.pass_context
def erasure(ctx: click.Context, as_json: bool) -> None:
    """Writes the file of the setting erasure_key_file, for its owner alone."""
    # Polars, which only this command needs
    from streams.erasure_key import make

    file = settings_of(ctx).erasure_key_file
    key = make(file)
    if as_json:
        emit({"file": str(file), "key_id": key.id})
    else:
        say(
            f"Written to {file}. Give it to every worker, and keep a backup of it for ever: "
            "without it nobody can tell who was erased.",
            err=True,
        )
