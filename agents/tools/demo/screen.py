"""The output of the demo: plain text; colours and a live line only on a terminal."""

import re
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from agents.terminal.say import live, say
from agents.terminal.table import show as show_table

__all__ = ["Screen"]

PLAIN_EVERY_S = 1.0
WIDTH = 96
UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


class Screen:
    """Prints headings, lines, ticks and a line that changes; nothing at all if `quiet`.

    Long ids are cut to their first eight digits, except in `exact` lines.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stdout.isatty()
        self._open = False
        self._next = 0.0
        self._act = 0

    def act(self, title: str) -> None:
        """Begin a numbered part."""
        self._act += 1
        self._say("")
        self._say(f"{self._act}. {title}", bold=True)

    def line(self, text: str) -> None:
        """A line of text."""
        self._say(f"   {_short(text)}")

    def exact(self, text: str) -> None:
        """A line exactly as a program prints it."""
        self._say(f"   {text}")

    def tick(self, text: str, good: bool = True) -> None:
        """A claim that was checked."""
        mark = click.style("ok  ", fg="green") if good else click.style("NOT ", fg="red")
        self._say(_short(text), lead=f"   {mark} ")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table of facts."""
        if not self._quiet:
            self._close()
            show_table(
                (f"   {head[0]}", *head[1:]),
                [[_short(f"   {c}" if i == 0 else c) for i, c in enumerate(row)] for row in rows],
            )

    def live(self, text: str, *, last: bool = False, every_s: float = PLAIN_EVERY_S) -> None:
        """Change the live line; without a terminal print a new line, at most one in `every_s`
        seconds.
        """
        now = time.monotonic()
        if self._quiet or (now < self._next and not last):
            return
        if self._live:
            live(f"   {text}", columns=WIDTH + 3)
            self._open = True
            if last:
                self._close()
        else:
            self._next = now + every_s
            say(f"   {text}")

    def _say(self, text: str, *, lead: str = "", bold: bool = False) -> None:
        if not self._quiet:
            self._close()
            say(text, lead=lead, bold=bold)

    def _close(self) -> None:
        if self._open:
            say()
            self._open = False


def _short(value: Any) -> Any:
    return UUID.sub(r"\1", value) if isinstance(value, str) else value
