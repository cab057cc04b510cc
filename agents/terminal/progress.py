"""One live line about long work: a bar, done of total, rate and time left.

The line is on stderr, and only on a terminal; `rich` draws it and is imported with the first line.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agents.terminal.amounts import period, size
from schemas.words.plural import plural
from schemas.words.shown import shown

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["LiveLine", "progress_text", "seconds_left"]

_AGAIN_S = 0.1
_LEAST_S = 0.5
"""Within less time no rate is known."""


def progress_text(
    done: float, total: float | None, unit: str, rate: float | None, left: float | None
) -> str:
    """`41 of 160 segments, 12/s, 10 s left`; parts that are not known are left out."""
    parts = [f"{_amount(done, unit)} of {_amount(total, unit)}" if total else _amount(done, unit)]
    if unit != "bytes":
        parts[0] += f" {plural(total or done, unit.removesuffix('s'), unit)}"
    if rate:
        parts.append(f"{_amount(rate, unit)}/s")
    if left is not None:
        parts.append(f"{period(left)} left")
    return ", ".join(parts)


def seconds_left(done: float, total: float | None, rate: float | None) -> float | None:
    """The time that the rest takes at this rate; None if that is not known."""
    return (total - done) / rate if total and rate and total >= done else None


class LiveLine:
    """A line that replaces itself. Use it as a context: the line is gone at the end."""

    def __init__(
        self,
        what: str,
        unit: str = "segments",
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = shown(what)
        self._unit = unit
        self._clock = clock
        self._shows = sys.stderr.isatty() and not quiet
        self._shown_at = -_AGAIN_S
        self._first: tuple[float, float] | None = None
        self._drawn: Progress | None = None

    @property
    def shows(self) -> bool:
        """Whether anybody sees it."""
        return self._shows

    @property
    def due(self) -> bool:
        """Whether it is seen, and was not drawn in the last tenth of a second."""
        return self._shows and self._clock() - self._shown_at >= _AGAIN_S

    def show(
        self, done: float, total: float | None, *, more: str = "", unit: str | None = None
    ) -> None:
        """Draw the line; `more` follows the figures. Another `unit` begins the rate anew."""
        if not self._shows:
            return
        if unit is not None and unit != self._unit:
            self._unit, self._first = unit, None
        self._shown_at = self._clock()
        since, first = self._first = self._first or (self._shown_at, done)
        passed = self._shown_at - since
        rate = (done - first) / passed if passed >= _LEAST_S and done > first else None
        text = progress_text(done, total, self._unit, rate, seconds_left(done, total, rate))
        drawn = self._drawn or self._begun()
        figures = f"{text}, {shown(more)}" if more else text
        drawn.update(drawn.task_ids[0], completed=done, total=total, figures=figures)
        drawn.refresh()

    def clear(self) -> None:
        """Erase the line, so that others can be printed; `show` draws it again."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.clear()

    def _begun(self) -> "Progress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns: list[Any] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20, complete_style="cyan", finished_style="green"),
            TextColumn("{task.fields[figures]}", markup=False),
        ]
        self._drawn = Progress(
            *columns,
            console=Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._drawn.add_task(self._what, total=None, figures="")
        self._drawn.start()
        return self._drawn


def _amount(count: float, unit: str) -> str:
    if unit == "bytes":
        return size(count)
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:,.1f}"
