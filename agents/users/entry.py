"""One user's history with one source, collected from folded rows.

Times are UTC milliseconds. `converted` and `in_control` have the meaning of the filters of these
names: a campaign's latest message counts, and users in the control group do not convert.
"""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.tables.profile import PROFILE

__all__ = ["NAMING", "RECEIPTS", "FirstLast", "ProfileEntry", "entries"]

NAMING = ("received", "entered", "control")
"""Kinds that say best which variation a user has."""

RECEIPTS = {"campaign": ("received", "control"), "canvas": ("received", "control", "entered")}
"""Kinds that make a user one of a source's receivers, by the kind of source: users in the control
group would have received the message.
"""


@dataclass(slots=True)
class FirstLast:
    """The first and the last time of similar interactions."""

    first: int
    last: int

    def widen(self, first: int, last: int) -> None:
        """Extend to include another span."""
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

    `kinds` has a span for every kind of interaction that occurred; `opened_on` and `clicked_on` the
    channels; `steps` the steps of received messages; `seen` the spans by variation; `aliases` the
    clicked aliases; `conversions` spans by index.
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
        """Add one folded row."""
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
        """The span of a kind, None if it did not occur."""
        return self.kinds.get(kind)

    def last(self, kind: str) -> int | None:
        """The last time of a kind."""
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
        """Whether the user was in the control group."""
        return "control" in self.kinds

    @property
    def opened(self) -> bool:
        """Whether a message was opened, by a person or by software."""
        return "opened" in self.kinds or "machine_opened" in self.kinds

    @property
    def clicked(self) -> bool:
        """Whether a person clicked."""
        return "clicked" in self.kinds

    @property
    def converted(self) -> bool:
        """Whether any conversion event counts."""
        converted, received = self.last("converted"), self.last("received")
        if converted is None or self.in_control:
            return False
        return not self.campaign or received is None or converted >= received

    @property
    def converted_by(self) -> tuple[int, ...]:
        """The indexes of the conversion events that count, in order."""
        if not self.converted:
            return ()
        received = self.last("received") if self.campaign else None
        spans = sorted(self.conversions.items())
        return tuple(index for index, span in spans if received is None or span.last >= received)

    @property
    def receiver(self) -> bool:
        """Whether the user is one of the source's receivers, see `RECEIPTS`."""
        return not self.kinds.keys().isdisjoint(RECEIPTS[self.source.partition(":")[0]])


def entries(rows: pl.DataFrame) -> list[ProfileEntry]:
    """One entry for each source, in the order of the sources.

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
