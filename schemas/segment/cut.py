"""Cuts a sorted frame of interactions into segments.

A cut falls after every `rows` rows and at both edges of every source with at least `own_rows` rows:
so a large source has its own segments, and small sources share segments. A cut also falls where a
segment would have more sources than an index can name.
"""

from itertools import pairwise

import polars as pl

from schemas.segment.codec import encode
from schemas.segment.order import in_order, pack_users
from schemas.tables.interaction import COLUMNS

__all__ = ["BYTES", "OWN_ROWS", "ROWS", "cut", "cut_encoded"]

ROWS = 50_000
BYTES = 900_000
OWN_ROWS = 4_000
#: An index names each source of its segment, and two places in it: bytes of names, at most six
#: times as many in JSON, and of what stands beside each. More would not fit a record.
NAMES = 110_000
_BESIDE_NAME = 10


def cut(frame: pl.DataFrame, rows: int = ROWS, own_rows: int = OWN_ROWS) -> list[pl.DataFrame]:
    """Sort `frame` by (source, user) and cut it into pieces of at most `rows` rows.

    The pieces, one after another, are the sorted frame; none is empty, and no piece holds a
    source of `own_rows` rows or more together with another source.
    """
    frame = in_order(frame)
    runs = frame.select(pl.col("source").rle()).unnest("source")
    names = runs["value"].str.len_bytes() + _BESIDE_NAME
    edges = [0]
    position = named = 0
    previous_large = False
    for length, name in zip(runs["len"].to_list(), names.to_list(), strict=True):
        large = length >= own_rows
        if (large or previous_large or named + name > NAMES) and position > edges[-1]:
            edges.append(position)
            named = 0
        position += length
        named += name
        previous_large = large
    edges.append(frame.height)
    pieces: list[pl.DataFrame] = []
    for start, end in pairwise(edges):
        pieces += _even(frame[start:end], rows)
    return pieces


def cut_encoded(
    frame: pl.DataFrame, rows: int = ROWS, bytes_: int = BYTES, own_rows: int = OWN_ROWS
) -> list[tuple[pl.DataFrame, bytes]]:
    """Cut as `cut` does and encode; a piece of more than `bytes_` bytes is halved.

    A single row may have any size.
    """
    encoded: list[tuple[pl.DataFrame, bytes]] = []
    packed = pack_users(frame["user"])
    if packed is not None:
        frame = frame.hstack([packed])  # once for the order and for all pieces
    waiting = cut(frame, rows, own_rows)[::-1]
    while waiting:
        piece = waiting.pop()
        data = encode(piece, presorted=True)
        if len(data) > bytes_ and piece.height > 1:
            middle = piece.height // 2
            waiting += [piece[middle:], piece[:middle]]
        else:
            encoded.append((piece[list(COLUMNS)], data))
    return encoded


def _even(frame: pl.DataFrame, rows: int) -> list[pl.DataFrame]:
    """Pieces of about equal size, so that no cut leaves a very small segment at the end."""
    count = -(-frame.height // rows)
    bounds = [frame.height * index // count for index in range(count + 1)] if count else [0]
    return [frame[start:end] for start, end in pairwise(bounds)]
