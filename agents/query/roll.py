"""The users of one shard in order: kept between questions, extended by what is new."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce

import polars as pl

from schemas.profile import PROFILE
from streams.side import ROSTER
from streams.store import Pinned

__all__ = ["Everybody", "Roll", "place"]

_CLOSE = 3
"""Two runs of users are merged when the larger is at most so many times the smaller."""
_AT_ONCE = 300_000


def _nobody() -> pl.Series:
    return pl.Series("user", [], dtype=pl.String)


@dataclass(frozen=True, slots=True)
class Everybody:
    """The users of a shard as of a pin: sorted runs without a user in common, and `gone`,
    sorted too: who was deleted or merged into another, wherever seen."""

    runs: tuple[pl.Series, ...]
    gone: pl.Series

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def between(self, low: str | None, high: str | None) -> pl.Series:
        """The live users in [low, high), sorted; None leaves that end open."""
        parts = [part for run in self.runs if len(part := between(run, low, high))]
        users = reduce(_merged, sorted(parts, key=len), _nobody())
        gone = between(self.gone, low, high)
        return users.filter(~_among(users, gone)) if len(gone) else users


@dataclass
class Roll:
    """One shard's users. Nothing makes a user unseen, so each part is read once.

    Not for several threads at once: pins have to come in the order in which they were made,
    or an answer would have users who were first seen after its moment.
    """

    _runs: list[pl.Series] = field(default_factory=list)
    _segments: frozenset[str] = frozenset()
    _deltas: tuple[pl.DataFrame, ...] = ()
    _side: tuple[tuple[bytes, ...], tuple[pl.DataFrame, ...]] = ((), ())
    _gone: pl.Series = field(default_factory=_nobody)

    def of(self, pinned: Pinned) -> Everybody:
        """Everybody at the moment of the pin. Blocks."""
        for users in _together(self._news(pinned)):
            self._take(users.unique().sort())
        self._segments = frozenset(pinned.by_source.get(PROFILE, ()))
        self._deltas = pinned.deltas
        self._hear(pinned)
        return Everybody(tuple(self._runs), self._gone)

    def _news(self, pinned: Pinned) -> Iterator[pl.Series]:
        """The users of what is there since the pin before."""
        for index in pinned.segments_of(PROFILE):
            if index.id not in self._segments:
                users = pinned.segment_rows(index, PROFILE, ("user",))["user"]
                # They are in order: a user's rows stand side by side.
                yield users.filter(users.ne_missing(users.shift()))
        known = {id(delta) for delta in self._deltas}
        yield from (delta["user"] for delta in pinned.deltas if id(delta) not in known)

    def _hear(self, pinned: Pinned) -> None:
        """Take in what producers said of users since."""
        runs, deltas = pinned.runs.get(ROSTER.run, ()), pinned.side.get(ROSTER.delta, ())
        former_runs, former = self._side
        self._side = (runs, deltas)
        if runs == former_runs and _same(deltas[: len(former)], former):
            if len(deltas) > len(former):
                # Later deltas have the later word.
                said = ROSTER.fold(pl.concat(deltas[len(former) :]))
                gone, live = _parted(said)
                unsaid = self._gone.filter(~_among(self._gone, said["user"]))
                self._gone = pl.concat([unsaid, gone]).sort()
                self._take(live)
        else:
            self._gone, live = _parted(pinned.side_rows(ROSTER))
            self._take(live)

    def _take(self, users: pl.Series) -> None:
        """Take in users who are in order, each once."""
        fresh = users.rename("user")
        for run in self._runs:
            fresh = fresh.filter(~_among(fresh, run))
        if not len(fresh):
            return
        # A copy: what was filtered shares, and so keeps, the text of all it was taken from.
        self._runs.append((fresh + "").set_sorted())
        while len(self._runs) > 1 and len(self._runs[-2]) <= _CLOSE * len(self._runs[-1]):
            last, before = self._runs.pop(), self._runs.pop()
            self._runs.append(_merged(before, last).set_sorted())


def _together(parts: Iterable[pl.Series]) -> Iterator[pl.Series]:
    """The same in few parts: each is looked up in all users that are known."""
    waiting: list[pl.Series] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= _AT_ONCE:
            yield pl.concat(waiting)
            waiting = []
    if waiting:
        yield pl.concat(waiting)


def between(users: pl.Series, low: str | None, high: str | None) -> pl.Series:
    """The part of a sorted series that lies in [low, high)."""
    begin = 0 if low is None else place(users, low)
    end = len(users) if high is None else place(users, high)
    return users.slice(begin, max(0, end - begin))


def place(users: pl.Series, user: str) -> int:
    """How many of a sorted series come before a user."""
    # A query that searches takes ten times as long as looking at some twenty users.
    return bisect_left(users, user)


def _merged(one: pl.Series, other: pl.Series) -> pl.Series:
    """Two sorted series as one."""
    if not len(one):
        return other
    return one.to_frame().merge_sorted(other.to_frame(), key="user")["user"]


def _among(users: pl.Series, run: pl.Series) -> pl.Series:
    """Which of the users are in a sorted series."""
    if not len(run):
        return pl.repeat(False, len(users), dtype=pl.Boolean, eager=True)
    places = run.search_sorted(users).clip(0, len(run) - 1)
    return run.gather(places) == users


def _parted(said: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """(gone, live) of folded rows of the roster, which are sorted by user."""
    gone = said["deleted"] | said["merged_into"].is_not_null()
    return said["user"].filter(gone), said["user"].filter(~gone)


def _same(one: tuple[pl.DataFrame, ...], other: tuple[pl.DataFrame, ...]) -> bool:
    return [id(frame) for frame in one] == [id(frame) for frame in other]
