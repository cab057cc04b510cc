"""Findings as lines for people: why a source has its state; misspelt fields of producers."""

from collections.abc import Iterable, Mapping
from typing import Any

from agents.terminal.table import when
from schemas.records.lifecycle import SourceState
from schemas.words.plural import counted, numbered, plural

__all__ = ["misspelt_lines", "why"]


def why(record: SourceState) -> str:
    """The reason of a source's state, in a few words."""
    failure = record.failure
    if failure is not None and failure.final:
        return f"restore failed: {failure.sentence()}"
    if record.stuck:
        have = plural(len(record.stuck), "has", "have")
        because = f": {failure.detail}" if failure is not None else ""
        return f"stuck: {numbered('shard', record.stuck)} {have} not answered{because}"
    if record.held is not None and record.held.legal:
        since = when(record.held.since)
        return f"legal hold by {record.held.by} since {since}: {record.held.reason}"
    if record.held is not None:
        return f"held by {record.held.by}" + (f": {record.held.reason}" if record.held.reason else
                                              "")  # fmt: skip
    if record.exempt_by:
        first, *rest = record.exempt_by
        through = "".join(f" through {segment}" for segment in first.through)
        more = f" and {len(rest)} more" if rest else ""
        return f"{first.filter} of {first.root}{through}{more}"
    return record.due_because or record.message or ""


def misspelt_lines(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each finding of schemas.records.misspelt, given as dictionaries."""
    return [
        f"{counted(one['count'], 'time')} {one['record']} had {one['written']!r}, "
        f"which is not read: is {one['meant']} meant?"
        for one in found
    ]
