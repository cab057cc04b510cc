"""What one user and one source have to do with each other, gathered from the folded rows.

Times are UTC milliseconds. `converted` and `in_control` mean what the filters of the same
names mean: a campaign's latest message counts, and users held out do not convert.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.tables.profile import PROFILE

__all__ = ["NAMING", "FirstLast", "ProfileEntry", "entries"]

NAMING = ("received", "entered", "control")
"""Kinds that say best which variation a user has."""


@dataclass(slots=True)
class FirstLast:
    """From the first to the last of things alike."""

    first: int
    last: int

    def widen(self, first: int, last: int) -> None:
        """Takes in another span."""
        self.first, self.last = min(self.first, first), max(self.last, last)


def _put(spans: dict[Any, FirstLast], key: Any, first: int, last: int) -> None:
    found = spans.get(key)
    if found is None:
        spans[key] = FirstLast(first, last)
    else:
        found.widen(first, last)


@dataclass(slots=True)
class ProfileEntry:
    """One source in one user's profile.

    `kinds` has a span for every interaction kind that there is; `opened_on` and `clicked_on`
    say on which channels, `steps` at which steps messages were received, `seen` by which
    variation anything came, `aliases` what was clicked, `conversions` spans by index.
    """

    source: str
    kinds: dict[str, FirstLast] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)
    opened_on: set[str] = field(default_factory=set)
    clicked_on: set[str] = field(default_factory=set)
    steps: dict[str, FirstLast] = field(default_factory=dict)
    seen: dict[str, FirstLast] = field(default_factory=dict)
    aliases: dict[str, FirstLast] = field(default_factory=dict)
    conversions: dict[int, FirstLast] = field(default_factory=dict)
    variation: str | None = None
    _rank: tuple[bool, int, str] = (False, -1, "")

    def take(
        self,
        kind: str,
        channel: str | None,
        step: str | None,
        variation: str | None,
        detail: str | None,
        first: int,
        last: int,
    ) -> None:
        """Takes in one folded row."""
        _put(self.kinds, kind, first, last)
        if kind == "received":
            if channel is not None:
                self.channels.add(channel)
            if step is not None:
                _put(self.steps, step, first, last)
        elif kind in ("opened", "machine_opened"):
            self.opened_on.add(channel or "OTHER")
        elif kind == "clicked":
            self.clicked_on.add(channel or "OTHER")
            if detail is not None:
                _put(self.aliases, detail, first, last)
        elif kind == "converted":
            _put(self.conversions, int(detail or 0), first, last)
        if variation is not None:
            _put(self.seen, variation, first, last)
            # the latest that came to the user by a message or by entering, else the latest
            rank = (kind in NAMING, last, variation)
            if rank > self._rank:
                self._rank, self.variation = rank, variation

    def span(self, kind: str) -> FirstLast | None:
        """When it happened, None where it did not."""
        return self.kinds.get(kind)

    def last(self, kind: str) -> int | None:
        """When it happened last."""
        span = self.kinds.get(kind)
        return None if span is None else span.last

    @property
    def campaign(self) -> bool:
        """Whether the source is a campaign and no Canvas."""
        return self.source.startswith("campaign:")

    @property
    def id(self) -> str:
        """The source without its kind."""
        return self.source.partition(":")[2]

    @property
    def in_control(self) -> bool:
        """Whether the user was held out."""
        return "control" in self.kinds

    @property
    def opened(self) -> bool:
        """Whether anything was opened, by software included."""
        return "opened" in self.kinds or "machine_opened" in self.kinds

    @property
    def clicked(self) -> bool:
        """Whether anything was clicked by a person."""
        return "clicked" in self.kinds

    @property
    def converted(self) -> bool:
        """Whether any conversion event counts."""
        converted, received = self.last("converted"), self.last("received")
        if converted is None or self.in_control:
            return False
        return not self.campaign or received is None or converted >= received

    @property
    def reached(self) -> bool:
        """Whether more is known than that the user has entered or left."""
        return bool(self.kinds.keys() - {"entered", "exited"})


def entries(rows: pl.DataFrame) -> list[ProfileEntry]:
    """One entry a source, in the order of the sources.

    `rows` are one user's, folded, in `interaction.SCHEMA`.
    """
    found: dict[str, ProfileEntry] = {}
    # row by row: one user has few, and each expression over a frame costs as much as hundreds
    for source, _, kind, channel, step, variation, detail, first, last in rows.rows():
        if source == PROFILE:
            continue
        entry = found.get(source)
        if entry is None:
            entry = found[source] = ProfileEntry(source)
        entry.take(kind, channel, step, variation, detail, first, last)
    return [found[source] for source in sorted(found)]
