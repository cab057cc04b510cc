"""A terminal of so many columns, without colours, in place of standard output."""

import io
import re
import sys

import pytest

__all__ = ["Screen", "screen"]


class Screen(io.StringIO):
    """What a command has printed on it."""

    def isatty(self) -> bool:
        """A terminal."""
        return True

    def lines(self) -> list[str]:
        """The lines without styles."""
        return re.sub("\x1b\\[[0-9;]*m", "", self.getvalue()).splitlines()


def screen(monkeypatch: pytest.MonkeyPatch, columns: int, lines: int = 24) -> Screen:
    """Put a terminal in place of standard output."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", made := Screen())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return made
