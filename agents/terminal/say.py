"""Prints for the command line: whole lines, in which foreign text cannot control the terminal."""

import codecs
import json
import shutil
import sys
from typing import Any, Protocol

import click

from schemas.words.shown import clusters, json_shown, shown, width

__all__ = ["Sink", "clear", "emit", "emit_end", "live", "say", "stdout"]

_LINE = 79


def say(
    text: str = "", *, lead: str = "", err: bool = False, bold: bool = False, dim: bool = False
) -> None:
    """Print one line, to stderr with `err`. `lead` is our own text, and is printed unchanged before
    it.
    """
    line = shown(text)
    if bold or dim:
        # False would end what another style has begun
        line = click.style(line, bold=bold or None, dim=dim or None)
    click.echo(f"{lead}{line}", err=err)


def live(text: str, *, err: bool = False, columns: int = _LINE) -> None:
    """Print a line that replaces the previous one; `say` or an empty `say()` ends it."""
    line = shown(text)
    if (sys.stderr if err else sys.stdout).isatty():
        # a line that continues on the next one cannot be replaced
        columns = min(columns, shutil.get_terminal_size().columns - 1)
        line = _clipped(line, columns)
    click.echo(f"\r{line}{' ' * max(0, columns - width(line))}", nl=False, err=err)


def _clipped(line: str, columns: int) -> str:
    """The beginning of a line that is too long."""
    used, kept = 0, []
    for cluster, size in clusters(line):
        used += size
        if used > columns:
            break
        kept.append(cluster)
    return "".join(kept)


def clear() -> None:
    """Erase the terminal and begin at its top."""
    click.clear()


def emit(facts: object) -> None:
    """Print one JSON value on one line."""
    click.echo(json_shown(json.dumps(facts, default=str, ensure_ascii=False)))


def emit_end(count: int, **more: object) -> None:
    """Print the last of several objects: without it, readers know that some are missing."""
    emit({"complete": True, "count": count, **more})


class Sink(Protocol):
    """Accepts bytes: a file, or standard output."""

    def write(self, data: bytes, /) -> Any:
        """Write all of them."""
        ...

    def flush(self) -> None:
        """Make them visible."""
        ...


def stdout() -> Sink:
    """Standard output for answers that are passed on: unchanged, except on a terminal."""
    return _Terminal() if sys.stdout.isatty() else sys.stdout.buffer


class _Terminal:
    """Lines of JSON or CSV; characters that control a terminal are written as JSON escapes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes, /) -> None:
        lines = self._decoder.decode(data).split("\n")
        sys.stdout.write("\n".join(map(json_shown, lines)))

    def flush(self) -> None:
        sys.stdout.flush()
