"""Many small deltas in few frames.

Reading a frame costs about 100 us besides its rows, so hundreds of deltas of some hundred rows each
would cost readers more than all other data. Small deltas are concatenated as they come, and each
row is copied at most twice; a delta is then a slice of a larger frame.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass

import polars as pl

__all__ = ["DeltaFrames"]

_SMALL_ROWS = 2_000
_LARGE_ROWS = 12_000
"""Frames from here on are left as they are; putting one together takes a millisecond."""
_FAN_IN = 8


@dataclass(eq=False, slots=True)
class _Chunk:
    """A frame, and for each remaining delta in it the first row and the number of rows."""

    frame: pl.DataFrame
    held: dict[bytes, tuple[int, int]]
    sources: dict[str, int] | None = None


class DeltaFrames(MutableMapping[bytes, pl.DataFrame]):
    """The deltas of one table by key, in the order in which they came.

    Use it from one thread only; frames that were handed out never change.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, _Chunk] = {}
        self._chunks: dict[_Chunk, None] = {}
        self._ragged: dict[_Chunk, None] = {}
        self.rows = 0

    def __getitem__(self, key: bytes) -> pl.DataFrame:
        chunk = self._places[key]
        return chunk.frame.slice(*chunk.held[key])

    def __setitem__(self, key: bytes, frame: pl.DataFrame) -> None:
        self.discard(key)
        self._add(_Chunk(frame, {key: (0, frame.height)}))
        self.rows += frame.height

    def __delitem__(self, key: bytes) -> None:
        chunk = self._places.pop(key)
        self.rows -= chunk.held.pop(key)[1]
        if chunk.held:
            self._ragged[chunk] = None
        else:
            self._ragged.pop(chunk, None)
            del self._chunks[chunk]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def discard(self, key: bytes) -> None:
        """Removes a delta, if it is there."""
        if key in self._places:
            del self[key]

    def frames(self) -> tuple[pl.DataFrame, ...]:
        """The rows of all deltas and no others. A frame stays the same object as long as
        possible.
        """
        self.rebuild()
        return tuple(chunk.frame for chunk in self._chunks)

    def sources(self) -> dict[str, int]:
        """How many rows each source has."""
        found: dict[str, int] = {}
        for counts in self._counts():
            for source, rows in counts.items():
                found[source] = found.get(source, 0) + rows
        return found

    def rows_of(self, sources: Iterable[str]) -> dict[str, int]:
        """How many rows each of these sources has: this costs as much as there are of them."""
        counts = self._counts()
        return {source: sum(each.get(source, 0) for each in counts) for source in sources}

    def _counts(self) -> list[dict[str, int]]:
        self.rebuild()
        found = []
        for chunk in self._chunks:
            if chunk.sources is None:
                chunk.sources = dict(chunk.frame.group_by("source").len().iter_rows())
            found.append(chunk.sources)
        return found

    def rebuild(self) -> None:
        """Rebuilds few frames, without the rows of deleted deltas."""
        for chunk in tuple(self._ragged):
            self._join([chunk])
        self._gather([c for c in self._chunks if c.frame.height < _SMALL_ROWS])
        self._gather([c for c in self._chunks if _SMALL_ROWS <= c.frame.height < _LARGE_ROWS])

    def _gather(self, alike: list[_Chunk]) -> None:
        if len(alike) <= _FAN_IN:
            return
        group: list[_Chunk] = []
        for chunk in alike:
            group.append(chunk)
            if sum(each.frame.height for each in group) >= _LARGE_ROWS:
                self._join(group)
                group = []
        if group:
            self._join(group)

    def _join(self, chunks: list[_Chunk]) -> None:
        parts: list[pl.DataFrame] = []
        held: dict[bytes, tuple[int, int]] = {}
        end = 0
        for chunk in chunks:
            for start, stop in _stretches(chunk):
                parts.append(chunk.frame.slice(start, stop - start))
            for key, (_, rows) in chunk.held.items():
                held[key] = (end, rows)
                end += rows
            self._ragged.pop(chunk, None)
            del self._chunks[chunk]
        self._add(_Chunk(pl.concat(parts, rechunk=True), held))

    def _add(self, chunk: _Chunk) -> None:
        self._chunks[chunk] = None
        self._places.update(dict.fromkeys(chunk.held, chunk))


def _stretches(chunk: _Chunk) -> Iterator[tuple[int, int]]:
    """The rows [start, stop) of deltas that are there and lie side by side."""
    start = stop = 0
    for first, rows in chunk.held.values():
        if first != stop:
            if stop > start:
                yield start, stop
            start = first
        stop = first + rows
    yield start, stop
