"""Tables for people: columns as wide as their content, numbers aligned to the right.

Elsewhere than on a terminal each row is one line. On a terminal columns without content are left
out, long ids are cut to their first digits if the table is too wide, and then the widest columns
are folded. If even that is too wide, each row is a block of lines.
"""

import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from agents.terminal.amounts import when
from agents.terminal.colours import Paint, painter
from agents.terminal.say import say
from schemas.words.shown import clusters, shown, width

__all__ = ["columns", "folded", "lines", "prose", "show", "terminal_lines", "when"]

_GAP = "  "
_LEAST = 10
"""No column of text is made narrower than this, or than its head."""
_MOST = 1_000
"""Characters of a cell; all of them are in what `--json` prints."""
_WORD = 28
"""Words are cut only where columns as wide as their longest words, up to this, do not fit."""
_UUID = re.compile(r"\b([0-9a-f]{8})-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b")

Rows = Iterable[Sequence[object]]


def columns() -> int | None:
    """The width of the terminal that standard output is; None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def prose(text: str, indent: str = "") -> None:
    """Print a sentence; on a terminal it is folded between words, and the rest is indented."""
    wide = columns()
    if wide is None:
        say(f"{indent}{text}")
        return
    first, *rest = folded(shown(text), max(_LEAST, wide - len(indent) - len(_GAP)))
    say(lead=f"{indent}{first}")
    for line in rest:
        say(lead=f"{indent}{_GAP}{line}")


def show(head: Sequence[str], rows: Rows, *, copied: int = 0) -> None:
    """Print a table; None is an empty cell, integers have thousands separators. People copy the
    words of the first `copied` columns, so these are not cut.
    """
    wide = columns()
    if wide is None:
        for line in lines(head, rows):
            say(line)
        return
    for line in terminal_lines(head, rows, wide, painter(), copied=copied):
        say(lead=line)


def lines(head: Sequence[str], rows: Rows, columns: int | None = None) -> Iterator[str]:
    """The lines of a table, the header first; with `columns` no line is longer, if that is
    possible.
    """
    table = _Table(head, [[_cell(value) for value in row] for row in rows])
    if columns is not None:
        table.fit(columns)
    yield from table.lines()


def terminal_lines(
    head: Sequence[str], rows: Rows, columns: int, paint: Paint, *, copied: int = 0
) -> Iterator[str]:
    """The lines for a terminal of so many columns, in colours; `copied` as in `show`."""
    body = [[_cell(value) for value in row] for row in rows]
    kept = [i for i in range(len(head)) if not body or any(row[i] for row in body)]
    names = [head[i] for i in kept]
    body = [[row[i] for i in kept] for row in body]
    if not _Table(names, body).fits(columns):
        body = [[_UUID.sub("\\1…", cell) for cell in row] for row in body]
    table = _Table(names, body)
    table.fit(columns, copied)
    if table.fits(columns) or not body:
        yield from table.lines(paint)
    else:
        yield from _blocks(names, body, columns, paint)


class _Table:
    """Cells that are safe to print, and the widths of their columns."""

    def __init__(self, head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
        self._head = head
        self._body = body
        self._numeric = [
            bool(body) and all(row[i].replace(",", "").isdecimal() or not row[i] for row in body)
            for i in range(len(head))
        ]
        self._widths = [max(map(width, column)) for column in zip(head, *body, strict=True)]

    def fits(self, columns: int) -> bool:
        """Whether no line is longer."""
        return sum(self._widths) + len(_GAP) * (len(self._widths) - 1) <= columns

    def fit(self, columns: int, copied: int = 0) -> None:
        """Make columns narrower until all lines fit, or none can be made narrower. No word of the
        first `copied` columns is cut.
        """
        heads = [max(_LEAST, width(name)) for name in self._head]
        words = [min(_WORD, word) for word in self._words()]
        least = [words, *([*words[:kept], *heads[kept:]] for kept in (max(copied, 1), copied))]
        # what a row is about is cut last
        for floors in least:
            floor = [
                size if numeric else max(name, word)
                for size, numeric, name, word in zip(
                    self._widths, self._numeric, heads, floors, strict=True
                )
            ]
            _narrow(self._widths, floor, columns)

    def lines(self, paint: Paint | None = None) -> Iterator[str]:
        """The header and the rows; coloured with `paint`."""
        yield self._bold(self._line(self._head), paint)
        styled = [i for i, name in enumerate(self._head) if name in _STYLED]
        for row in self._body:
            parts = [folded(cell, size) for cell, size in zip(row, self._widths, strict=True)]
            for cells in zip_longest(*parts, fillvalue=""):
                painted = {i: paint(row[i], cells[i]) for i in styled} if paint else {}
                yield self._line(cells, painted)

    def _bold(self, line: str, paint: Paint | None) -> str:
        return line if paint is None else f"\x1b[1m{line}\x1b[0m"

    def _line(self, cells: Sequence[str], painted: dict[int, str] | None = None) -> str:
        parts = []
        last = max((i for i, cell in enumerate(cells) if cell), default=0)
        for i, (cell, size, right) in enumerate(
            zip(cells[: last + 1], self._widths, self._numeric, strict=False)
        ):
            room = " " * (size - width(cell))
            text = painted.get(i, cell) if painted else cell
            # nothing follows the last cell, and no line ends with spaces
            parts.append(room + text if right else text + room * (i < last))
        return _GAP.join(parts).rstrip()

    def _words(self) -> list[int]:
        """The width of the longest word of each column."""
        return [
            max((width(word) for row in self._body for word in row[i].split(" ")), default=0)
            for i in range(len(self._head))
        ]


_STYLED = ("state", "outcome", "from", "to")
"""Columns whose words have colours."""


def folded(text: str, columns: int) -> list[str]:
    """The text in lines of at most this many columns, cut at spaces if there are any."""
    if width(text) <= columns:
        return [text]
    found: list[str] = []
    line = ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if width(joined) <= columns:
            line = joined
            continue
        if line:
            found.append(line)
        line = word
        while width(line) > columns and (at := _fitting(line, columns)) < len(line):
            found.append(line[:at])
            line = line[at:]
    return [*found, line]


def _fitting(text: str, columns: int) -> int:
    """How many characters fit, at least those that readers see as one."""
    used = at = 0
    for cluster, size in clusters(text):
        used += size
        if used > columns and at:
            return at
        at += len(cluster)
    return len(text)


def _narrow(widths: list[int], least: Sequence[int], columns: int) -> None:
    """Repeatedly narrow the widest column, until all fit or no column can be narrowed; `least` is
    the least width of each.
    """
    room = columns - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        able = [i for i, size in enumerate(widths) if size > least[i]]
        if not able:
            return
        widths[max(able, key=lambda i: widths[i])] -= 1


def _blocks(
    head: Sequence[str], body: Sequence[Sequence[str]], columns: int, paint: Paint
) -> Iterator[str]:
    """Each row as lines: its first cell, then the head and the content of each other cell."""
    names = max(map(width, head))
    room = max(_LEAST, columns - names - 2 * len(_GAP))
    for row in body:
        for line in folded(row[0], columns):
            yield f"\x1b[1m{line}\x1b[0m"
        for name, cell in zip(head[1:], row[1:], strict=True):
            for at, line in enumerate(folded(cell, room) if cell else ()):
                label = name if at == 0 else ""
                text = paint(cell, line) if name in _STYLED else line
                yield f"{_GAP}{label}{' ' * (names - width(label))}{_GAP}{text}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shown(_clipped(str(value)))


def _clipped(text: str) -> str:
    """Clip cells, because every row is as wide as the widest: one name of a megabyte would widen
    all.
    """
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
