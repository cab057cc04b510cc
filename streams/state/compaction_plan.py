"""Changes to the set of segments: flush, merge and separation, as pure plans of changelog entries.

Every plan replaces rows by the same rows in other segments, so it changes no answer. The choice of
segments to merge affects only the cost: the fold is a join, so any set may be merged.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.segment.cut import cut_encoded
from schemas.segment.index import SegmentIndex, build
from schemas.tables.fold import fold
from schemas.tables.profile import PROFILE, wide
from streams.state import keys

__all__ = [
    "SegmentLimits",
    "choose_merge",
    "crowded",
    "flush",
    "lay",
    "merge",
    "remember",
    "separate",
    "store",
]

#: Bytes of a segment and its index together, below a record's.
_ARCHIVED_BYTES = 960_000

_ALONE: Mapping[str, str] = {}
"""No segment was made by a merge that made others too."""

Put = tuple[bytes, bytes | None]
NewId = Callable[[], str]


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """Limits of one segment: rows, encoded bytes, and the number of rows from which a source gets
    its own segments.
    """

    rows: int
    bytes: int
    own_rows: int


def store(frame: pl.DataFrame, level: int, new_id: NewId, limits: SegmentLimits) -> list[Put]:
    """Index and bytes of the segments that hold `frame`'s rows; nothing for an empty frame."""
    puts: list[Put] = []
    if not frame.height:
        return puts
    for rows, data in cut_encoded(frame, limits.rows, limits.bytes, limits.own_rows):
        index = build(new_id(), level, rows, data)
        entry = index.to_json()
        # in the archive both are one record
        large = len(index.sources) == 1 and len(data) + len(entry) > _ARCHIVED_BYTES
        if large and rows.height > 1:
            middle = rows.height // 2
            for half in (rows[:middle], rows[middle:]):
                puts += store(half, level, new_id, limits)
            continue
        puts += [(keys.index(index.id), entry), (keys.segment(index.id), data)]
    return puts


def flush(deltas: Mapping[bytes, pl.DataFrame], new_id: NewId, limits: SegmentLimits) -> list[Put]:
    """Folds deltas into segments and deletes them."""
    rows = pl.concat(list(deltas.values()))
    return lay(rows, new_id, limits) + [(key, None) for key in deltas]


def lay(rows: pl.DataFrame, new_id: NewId, limits: SegmentLimits) -> list[Put]:
    """Folds rows into segments of level 0, and derives the profile-wide rows."""
    rows = fold(rows)
    sourced = rows.filter(pl.col("source") != PROFILE)
    return store(sourced, 0, new_id, limits) + store(wide(rows), 0, new_id, limits)


def merge(
    segments: Sequence[tuple[SegmentIndex, pl.DataFrame]], new_id: NewId, limits: SegmentLimits
) -> list[Put]:
    """Folds segments into segments of the next level and deletes them."""
    rows = fold(pl.concat([frame for _, frame in segments]))
    level = 1 + max(index.level for index, _ in segments)
    return store(rows, level, new_id, limits) + remove(index for index, _ in segments)


def remember(together: dict[str, str], puts: Iterable[Put], held: Container[str]) -> None:
    """Note the segments that a merge makes as made together, and forget those that are not among
    the ids `held` any more.
    """
    made = [keys.name(key) for key, value in puts if value is not None and keys.kind(key) == b"i"]
    for gone in [one for one in together if one not in held]:
        del together[gone]
    if len(made) > 1:
        together.update(dict.fromkeys(made, made[0]))


def separate(
    index: SegmentIndex,
    frame: pl.DataFrame,
    sources: Iterable[str],
    new_id: NewId,
    limits: SegmentLimits,
) -> list[Put]:
    """Cuts the rows of `sources` out of a shared segment, each into segments of its own."""
    leaving = [source for source in sources if source in index.sources]
    puts = store(frame.filter(~pl.col("source").is_in(leaving)), index.level, new_id, limits)
    for source in leaving:
        puts += store(frame.filter(pl.col("source") == source), index.level, new_id, limits)
    return puts + remove([index])


def remove(segments: Iterable[SegmentIndex]) -> list[Put]:
    """Deletes segments from the hot table."""
    return [
        (key, None) for index in segments for key in (keys.index(index.id), keys.segment(index.id))
    ]


def crowded(
    segments: Iterable[SegmentIndex], fan_in: int, together: Mapping[str, str] = _ALONE
) -> list[SegmentIndex]:
    """The segments that wait for a merge: each of them overlaps, at some (source, user), more than
    `fan_in` segments of its level, itself included. Empty if and only if `choose_merge` chooses
    none.
    """
    found: dict[str, SegmentIndex] = {}
    for level in _by_level(segments).values():
        crowd = False
        open_segments: list[SegmentIndex] = []
        for index in sorted(level, key=lambda index: index.low):
            open_segments = [other for other in open_segments if other.high >= index.low]
            open_segments.append(index)
            before, crowd = crowd, _is_crowd(open_segments, fan_in, together)
            if crowd:
                # if it was one before, the others have been found
                some = [index] if before else open_segments
                found.update((other.id, other) for other in some)
    return list(found.values())


def choose_merge(
    segments: Iterable[SegmentIndex],
    fan_in: int,
    max_bytes: int,
    together: Mapping[str, str] = _ALONE,
) -> list[SegmentIndex]:
    """The segments to merge next; empty if nowhere more than `fan_in` segments of one level
    overlap.

    Takes the lowest level in which more than `fan_in` segments overlap at some (source, user), and
    the segments of that level at the first such place: at least two, and about `max_bytes` in
    total.

    Segments of the same merge, which have one value in `together` by their ids, count as one: to
    merge them with each other would make the same ones again. The rows of one user may be so many.
    """
    levels = _by_level(segments)
    for level in sorted(levels):
        crowd = _first_crowd(levels[level], fan_in, together)
        if crowd:
            chosen: list[SegmentIndex] = []
            weight = 0
            for index in _of_several(sorted(crowd, key=lambda index: index.bytes), together):
                if len(chosen) >= 2 and weight + index.bytes > max_bytes:
                    break
                chosen.append(index)
                weight += index.bytes
            return chosen
    return []


def _of_several(
    segments: Sequence[SegmentIndex], together: Mapping[str, str]
) -> Iterator[SegmentIndex]:
    """The same segments; the second is of another merge than the first."""
    first = segments[0]
    others = (i for i in segments if _group(i, together) != _group(first, together))
    second = next(others)
    yield from (first, second)
    yield from (index for index in segments if index is not first and index is not second)


def _is_crowd(segments: Sequence[SegmentIndex], fan_in: int, together: Mapping[str, str]) -> bool:
    if len(segments) <= fan_in:
        return False
    return len({_group(index, together) for index in segments}) > fan_in


def _group(index: SegmentIndex, together: Mapping[str, str]) -> str:
    return together.get(index.id, index.id)


def _by_level(segments: Iterable[SegmentIndex]) -> dict[int, list[SegmentIndex]]:
    levels: dict[int, list[SegmentIndex]] = {}
    for index in segments:
        levels.setdefault(index.level, []).append(index)
    return levels


def _first_crowd(
    segments: list[SegmentIndex], fan_in: int, together: Mapping[str, str]
) -> list[SegmentIndex]:
    open_segments: list[SegmentIndex] = []
    for index in sorted(segments, key=lambda index: index.low):
        open_segments = [other for other in open_segments if other.high >= index.low]
        open_segments.append(index)
        if _is_crowd(open_segments, fan_in, together):
            return open_segments
    return []
