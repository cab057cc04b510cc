"""Tables for people: columns as wide as their content, numbers to the right."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click

__all__ = ["show", "when"]


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; None is an empty cell, integers have thousands separators."""
    body = [[_cell(value) for value in row] for row in rows]
    numeric = [
        bool(body) and all(row[i].replace(",", "").isdecimal() or not row[i] for row in body)
        for i in range(len(head))
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    click.echo(click.style(_line(head, widths, numeric), bold=True))
    for row in body:
        click.echo(_line(row, widths, numeric))


def when(ms: int | None) -> str:
    """Milliseconds since 1970 as a time in UTC; empty for None."""
    if ms is None:
        return ""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00") + "Z"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(parts).rstrip()
