"""Colours of the words that commands print, on a terminal that shows colours.

`rich` decides whether it does: NO_COLOR, TERM and FORCE_COLOR count. It is imported only then.
"""

import sys
from collections.abc import Callable, Mapping

from schemas.records.lifecycle import State

__all__ = ["STYLES", "Paint", "painter"]

Paint = Callable[[str, str], str]
"""(word, text) -> the text in the colour of the word."""

STYLES: Mapping[str, str] = {
    State.ACTIVE: "green",
    State.STOPPED: "yellow",
    State.EXEMPT: "cyan",
    State.HELD: "blue",
    State.UNKNOWN: "magenta",
    State.EXPIRING: "bold yellow",
    State.EXPIRED: "bright_black",
    State.RESTORING: "bold cyan",
    "accepted": "cyan",
    "progress": "cyan",
    "running": "cyan",
    "completed": "green",
    "so already": "green",
    "finished": "green",
    "refused": "yellow",
    "failed": "red",
    "error": "red",
    "warning": "yellow",
}
"""Word -> style of rich: states of sources, outcomes of requests, kinds of lines."""


def painter() -> Paint:
    """The painter for standard output; it changes nothing if that shows no colours."""
    if not sys.stdout.isatty():
        return _plain
    from rich.console import Console

    console = Console()
    if console.no_color or console.color_system is None:
        return _plain
    return _colour


def _plain(word: str, text: str) -> str:
    return text


def _colour(word: str, text: str) -> str:
    from rich.color import ColorSystem
    from rich.style import Style

    style = STYLES.get(word)
    if style is None:
        return text
    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD)
