"""Misspelt fields of producers, which are not read, as lines for people."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["misspelt_lines"]


def misspelt_lines(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each finding of schemas.records.misspelt, given as dictionaries."""
    return [
        f"{one['count']:,} times {one['record']} had {one['written']!r}, which is not read: "
        f"is {one['meant']} meant?"
        for one in found
    ]
