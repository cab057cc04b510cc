"""The sorted list of the users of one shard: cached between queries and extended by new users."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce

import polars as pl

from agents.filters.roster import Roster, positions
from schemas.segment.user_number import NUMBER, numbers, packed
from schemas.tables.erased import Mask
from schemas.tables.profile import PROFILE
from streams.state.auxiliary_table import ROSTER
from streams.state.store import PinnedShard

__all__ = ["Everybody", "UserList"]

_CLOSE = 3
"""Two runs of users are merged when the larger is at most so many times the smaller."""
_AT_ONCE = 300_000
_NO_TEXTS = pl.Series("user", [], dtype=pl.String)


@dataclass(frozen=True, slots=True)
class Everybody:
    """The users of a shard as of a pin: sorted, disjoint runs; and `gone`, sorted too: all deleted
    users. Merged users are among the others: `schemas.tables.merges` says who they are.

    With `numbered`, all users are 24 hex digits each: `user` is Binary, 12 bytes, with its `number`
    (`schemas.segment.user_number`). Otherwise `user` is String.
    """

    runs: tuple[pl.DataFrame, ...]
    gone: pl.DataFrame
    numbered: bool

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def between(self, low: str | None, high: str | None) -> Roster:
        """The live users in [low, high); a bound of None is open."""
        parts = [part for run in self.runs if len(part := self.cut(run, low, high))]
        users = reduce(_merged, sorted(parts, key=len), _nobody(self.numbered))
        return Roster(_without(users, self.cut(self.gone, low, high)))

    def cut(self, rows: pl.DataFrame, low: str | None, high: str | None) -> pl.DataFrame:
        """Of rows sorted by user, those of this shard's users in [low, high); a bound of None is
        open.
        """
        begin = 0 if low is None else self._place(rows, low)
        end = len(rows) if high is None else self._place(rows, high)
        return rows.slice(begin, max(0, end - begin))

    def _place(self, rows: pl.DataFrame, user: str) -> int:
        # A query that searches takes ten times as long as looking at some twenty users.
        return bisect_left(rows["user"], bytes.fromhex(user) if self.numbered else user)

    def members(self, users: pl.Series) -> pl.DataFrame:
        """These users (String, unique) in the form and order of this shard's, with their number in
        `users`: `at`. Without those who cannot be here.
        """
        found = self.formed(users.to_frame("user").with_row_index("at"))
        if self.numbered:
            found = found.with_columns(numbers(found["user"]).alias("number"))
        return found.sort(_key(found))

    def formed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with `user` in the form of this shard, from String or, packed, Binary."""
        users = rows["user"]
        if not self.numbered:
            return rows.with_columns(_texts(users))
        if users.dtype == pl.Binary:
            return rows
        return rows.with_columns(packed(users)).filter(pl.col("user").is_not_null())


@dataclass
class UserList:
    """One shard's users. Only erased users are removed from it, so each part of the store is read
    once.

    Not for several threads at once: pins must come in the order in which they were made, otherwise
    an answer would contain users who were first seen after its moment.
    """

    _runs: list[pl.DataFrame] = field(default_factory=list)
    _segments: frozenset[str] = frozenset()
    _deltas: tuple[pl.DataFrame, ...] = ()
    _auxiliary: tuple[tuple[bytes, ...], tuple[pl.DataFrame, ...]] = ((), ())
    _gone: pl.DataFrame = field(default_factory=lambda: _nobody(True))
    #: Of the mask whose erased users have been dropped.
    _generation: int = 0
    #: Until the first user who is not 24 digits.
    _numbered: bool = True

    def of(self, pinned: PinnedShard) -> Everybody:
        """The users at the moment of the pin. Blocking."""
        for parts in _together(self._news(pinned)):
            users = self._formed(parts)
            self._take(users.sort(_key(users)))
        self._segments = frozenset(pinned.by_source.get(PROFILE, ()))
        self._deltas = pinned.deltas
        self._hear(pinned)
        self._erase(pinned.mask)
        return Everybody(tuple(self._runs), self._gone, self._numbered)

    def _erase(self, mask: Mask) -> None:
        """Drop erased users: what comes later than an erasure has none of them, but those who have
        come back.
        """
        if mask.generation == self._generation:
            return
        runs: list[pl.DataFrame] = []
        for run in self._runs:
            found = [user for user in mask.among(Roster(run).texts()) if mask.hides(user)]
            users = self._formed([pl.Series("user", found, dtype=pl.String)])
            runs.append(_without(run, users.sort(_key(users))))
        self._runs = [run for run in runs if len(run)]
        self._generation = mask.generation

    def _news(self, pinned: PinnedShard) -> Iterator[pl.Series]:
        """The users of the parts that are new since the previous pin."""
        for index in pinned.segments_of(PROFILE):
            if index.id not in self._segments:
                yield _once(pinned.segment_rows(index, PROFILE, ("user",), packed=True))["user"]
        known = {id(delta) for delta in self._deltas}
        yield from (delta["user"] for delta in pinned.deltas if id(delta) not in known)

    def _hear(self, pinned: PinnedShard) -> None:
        """Add the roster's new records."""
        runs, deltas = pinned.runs.get(ROSTER.run, ()), pinned.auxiliary.get(ROSTER.delta, ())
        former_runs, former = self._auxiliary
        more = runs == former_runs and _same(deltas[: len(former)], former)
        if more and len(deltas) == len(former):
            return
        # Later deltas have the later word.
        said = (
            ROSTER.fold(pl.concat(deltas[len(former) :])) if more else pinned.auxiliary_rows(ROSTER)
        )
        users = self._formed([said["user"]])
        left = said["deleted"]
        gone = self._gone if more else self._gone.clear()
        self._gone = _merged(_without(gone, users), users.filter(left))
        self._take(users.filter(~left))
        # Last: what could not be read now is read the next time.
        self._auxiliary = (runs, deltas)

    def _formed(self, parts: list[pl.Series]) -> pl.DataFrame:
        """Users in the form of this shard, which changes with the first user who is not 24 hex
        digits.
        """
        if self._numbered:
            # Many are small: what is done to each costs more than what is done to its users.
            texts = pl.concat([_NO_TEXTS, *(part for part in parts if part.dtype == pl.String)])
            known = packed(texts)
            if not known.null_count():
                users = pl.concat([known, *(part for part in parts if part.dtype == pl.Binary)])
                return pl.DataFrame([users, numbers(users)])
            self._numbered = False
            self._runs = [_spelt(run) for run in self._runs]
            self._gone = _spelt(self._gone)
        return pl.concat([_texts(part) for part in parts]).to_frame()

    def _take(self, users: pl.DataFrame) -> None:
        """Add sorted users."""
        fresh = _once(users)
        for run in self._runs:
            fresh = _without(fresh, run)
        if not len(fresh):
            return
        if not self._numbered:
            # A copy: what was filtered shares, and so keeps, the text of all it was taken from.
            fresh = fresh.select(pl.col("user") + "")
        self._runs.append(fresh)
        while len(self._runs) > 1 and len(self._runs[-2]) <= _CLOSE * len(self._runs[-1]):
            last, before = self._runs.pop(), self._runs.pop()
            self._runs.append(_merged(before, last))


def _nobody(numbered: bool) -> pl.DataFrame:
    if numbered:
        return pl.DataFrame(schema={"user": pl.Binary, "number": NUMBER})
    return pl.DataFrame(schema={"user": pl.String})


def _key(users: pl.DataFrame) -> str:
    """The column to compare: both have the same order."""
    return "number" if "number" in users.columns else "user"


def _spelt(users: pl.DataFrame) -> pl.DataFrame:
    return Roster(users).texts().to_frame("user")


def _texts(users: pl.Series) -> pl.Series:
    """Users as String, from String or, packed, Binary."""
    return (users.bin.encode("hex") if users.dtype == pl.Binary else users).rename("user")


def _together(parts: Iterable[pl.Series]) -> Iterator[list[pl.Series]]:
    """The same users in fewer lots, because each lot is looked up in all known users."""
    waiting: list[pl.Series] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= _AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _once(users: pl.DataFrame) -> pl.DataFrame:
    """Sorted users without repetitions."""
    keys = users[_key(users)]
    return users.filter(keys.ne_missing(keys.shift()))


def _merged(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Two frames of sorted users as one."""
    if not len(one) or not len(other):
        return one if len(one) else other
    return one.merge_sorted(other, key=_key(one))


def _without(users: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The users who are not in `others`, a sorted list."""
    if not len(users) or not len(others):
        return users
    _, among = positions(others[_key(others)], users[_key(users)])
    return users.filter(~among)


def _same(one: tuple[pl.DataFrame, ...], other: tuple[pl.DataFrame, ...]) -> bool:
    return [id(frame) for frame in one] == [id(frame) for frame in other]
