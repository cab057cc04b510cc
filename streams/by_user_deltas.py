"""Deltas as a reader of users wants them: few frames, however many small steps made them."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

__all__ = ["Gathered", "gather"]

#: Looking through a frame costs more than its rows below this; larger ones stay as they are.
_SMALL_ROWS = 4_000
_FAN_IN = 8


@dataclass(frozen=True, slots=True)
class Gathered:
    """Small deltas put together: each frame with the keys of the deltas it holds."""

    chunks: tuple[tuple[frozenset[bytes], pl.DataFrame], ...] = ()


def gather(
    deltas: Mapping[bytes, pl.DataFrame], former: Gathered
) -> tuple[list[pl.DataFrame], Gathered]:
    """The rows of `deltas` in few frames; what is still true of `former` is used again."""
    chunks = [(keys, frame) for keys, frame in former.chunks if keys <= deltas.keys()]
    known = frozenset[bytes]().union(*(keys for keys, _ in chunks))
    frames: list[pl.DataFrame] = []
    for key in deltas.keys() - known:
        frame = deltas[key]
        if frame.height < _SMALL_ROWS:
            chunks.append((frozenset([key]), frame))
        else:
            frames.append(frame)
    if len(chunks) > _FAN_IN:
        chunks = _fewer(chunks)
    return frames + [frame for _, frame in chunks], Gathered(tuple(chunks))


def _fewer(
    chunks: list[tuple[frozenset[bytes], pl.DataFrame]],
) -> list[tuple[frozenset[bytes], pl.DataFrame]]:
    """Puts the smaller chunks together, so that a row is copied a few times at most."""
    chunks = sorted(chunks, key=lambda chunk: chunk[1].height, reverse=True)
    largest = chunks[: _FAN_IN // 2]
    rest = chunks[_FAN_IN // 2 :]
    keys = frozenset[bytes]().union(*(keys for keys, _ in rest))
    return [*largest, (keys, pl.concat([frame for _, frame in rest], rechunk=True))]
