"""A 64-bit hash of texts that may be stored: the same in every process and version of a library.

The text's bytes, in words of four, times an odd number of 64 bits for each place, added up, and
the length too. Zeros behind a text add nothing, so texts of any lengths go together, and one
query does it all. Two texts whose lowest differing bit stands at place b of its word have the
same hash with a chance of one in 2**(64 - b); it is no hash against those who seek two such.
"""

from functools import lru_cache

import polars as pl

from schemas.tables.view import select

__all__ = ["stable_hash"]

_WORD = 4
#: Bytes that one query takes in; longer texts go on alone, so that each costs what it weighs.
_STRETCH = 64
_MASK = (1 << 64) - 1


def stable_hash(texts: pl.Series) -> pl.Series:
    """UInt64 hashes of texts (String, none null), as long as `texts`."""
    lengths = texts.str.len_bytes()
    shortest, longest = lengths.min(), lengths.max()
    if not isinstance(shortest, int) or not isinstance(longest, int):
        return pl.Series(texts.name, [], dtype=pl.UInt64)
    words = _words(min(longest, _STRETCH))
    padded = texts
    if shortest != longest or longest % _WORD or not longest:
        padded = texts + "\0" * max(_WORD, min(longest - shortest, _STRETCH) + _WORD)
    frame = pl.DataFrame([padded.cast(pl.Binary).alias("text"), lengths.alias("length")])
    if longest <= _STRETCH:
        return (_sum(frame, 0, words) + _of_length(lengths)).alias(texts.name)
    order = lengths.arg_sort(descending=True)
    frame = frame[order]
    found = _of_length(frame["length"])
    for start in range(0, longest, _STRETCH):
        # the longest stand first; who has nothing here has its hash
        frame = frame.head(int((frame["length"] > start).sum()))
        more = _sum(frame, start, _words(min(longest - start, _STRETCH)))
        found = (found.head(len(more)) + more).append(found[len(more) :])
    return found.gather(order.arg_sort()).alias(texts.name)


def _words(size: int) -> int:
    return max(1, -(-size // _WORD))


def _sum(frame: pl.DataFrame, start: int, words: int) -> pl.Series:
    """What the bytes from `start` on add, so many words of them."""
    for columns in _passes(start, words):
        frame = select(frame, columns)
    return frame.to_series()


@lru_cache(maxsize=4096)
def _passes(start: int, words: int) -> list[list[pl.Expr]]:
    """Two queries: one alone would take the words apart once for each of them."""
    piece = pl.col("text").bin.slice(start, words * _WORD)
    apart = piece.bin.reinterpret(dtype=pl.Array(pl.UInt32, words), endianness="little")
    terms = [
        pl.col("words").arr.get(place).cast(pl.UInt64) * _u64(_factor(start // _WORD + place))
        for place in range(words)
    ]
    return [[apart.alias("words")], [sum(terms[1:], terms[0])]]


def _of_length(lengths: pl.Series) -> pl.Series:
    return (
        pl.DataFrame([lengths.alias("length")])
        .select_seq(pl.col("length").cast(pl.UInt64) * _u64(_factor(-1)))
        .to_series()
    )


def _factor(place: int) -> int:
    """An odd number for each place that looks like chance (SplitMix64)."""
    mixed = (place + 2) * 0x9E37_79B9_7F4A_7C15 & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & _MASK
    return mixed ^ mixed >> 31 | 1


def _u64(number: int) -> pl.Expr:
    return pl.lit(number, pl.UInt64)
