"""Tables for people: columns as wide as their content, numbers aligned to the right.

On a terminal, a table that is too wide has its widest columns folded, so that no row continues on
the next line; elsewhere each row is one line.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from agents.terminal.say import say
from schemas.words.shown import shown, width

__all__ = ["folded", "lines", "show", "when"]

_GAP = "  "
_LEAST = 10
"""No column of text is made narrower than this, or than its head."""
_MOST = 1_000
"""Characters of a cell; all of them are in what `--json` prints."""
_WORD = 24
"""Words are cut only where columns as wide as their longest words, up to this, do not fit."""


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; None is an empty cell, integers have thousands separators."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    first, *rest = lines(head, rows, columns)
    say(first, bold=True)
    for line in rest:
        say(line)


def lines(
    head: Sequence[str], rows: Iterable[Sequence[object]], columns: int | None = None
) -> Iterator[str]:
    """The lines of a table, the header first; with `columns` no line is longer, if that is
    possible.
    """
    body = [[_cell(value) for value in row] for row in rows]
    numeric = [
        bool(body) and all(row[i].replace(",", "").isdecimal() or not row[i] for row in body)
        for i in range(len(head))
    ]
    widths = [max(map(width, column)) for column in zip(head, *body, strict=True)]
    if columns is not None:
        heads = [max(_LEAST, width(name)) for name in head]
        for least in ([min(_WORD, word) for word in _words(body, len(head))], heads):
            floor = [
                size if fixed else max(name, word)
                for size, fixed, name, word in zip(widths, numeric, heads, least, strict=True)
            ]
            _narrow(widths, floor, columns)
    yield _line(head, widths, numeric)
    for row in body:
        parts = [folded(cell, size) for cell, size in zip(row, widths, strict=True)]
        for cells in zip_longest(*parts, fillvalue=""):
            yield _line(cells, widths, numeric)


def when(ms: int | None, timespec: str = "seconds") -> str:
    """Milliseconds since 1970 as a time in UTC, with the precision of `timespec`; empty for None,
    and the number itself if it is outside of the calendar.
    """
    if ms is None:
        return ""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # whoever writes a record says when: it may be no time of ours
    return moment.isoformat(sep=" ", timespec=timespec).removesuffix("+00:00") + "Z"


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
        while width(line) > columns and len(line) > 1:
            at = _fitting(line, columns)
            found.append(line[:at])
            line = line[at:]
    return [*found, line]


def _fitting(text: str, columns: int) -> int:
    """How many characters fit, at least one."""
    used = 0
    for at, char in enumerate(text):
        used += width(char)
        if used > columns and at:
            return at
    return len(text)


def _words(body: Sequence[Sequence[str]], columns: int) -> list[int]:
    """The width of the longest word of each column."""
    return [
        max((width(word) for row in body for word in row[i].split(" ")), default=0)
        for i in range(columns)
    ]


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


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = []
    for cell, size, right in zip(cells, widths, numeric, strict=True):
        room = " " * (size - width(cell))
        parts.append(room + cell if right else cell + room)
    return _GAP.join(parts).rstrip()
