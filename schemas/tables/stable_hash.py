"""A 64-bit hash of texts that may be stored: the same in every process and library version.

The hash is a sum: each word of four bytes times an odd 64-bit factor of its position, plus the
length. Trailing zeros add nothing, so texts of different lengths can be processed together. Two
texts whose lowest differing bit is bit b of its word have the same hash with probability 1 in
2**(64 - b). The hash does not resist an attacker who searches for two texts with the same hash.
"""

import struct
from functools import lru_cache

import polars as pl

__all__ = ["stable_hash", "stable_hash_of"]

_WORD = 4
#: Bytes that are taken in together; longer texts go on alone, so that each costs what it weighs.
_STRETCH = 64
_MASK = (1 << 64) - 1
_FEW = 32
"""So few texts are summed up one by one: to set operations on columns up costs more."""


def stable_hash(texts: pl.Series) -> pl.Series:
    """UInt64 hashes of texts (String, none null), as long as `texts`."""
    if len(texts) <= _FEW:
        data = [text.encode() for text in texts.to_list()]
        if sum(map(len, data)) <= _FEW * _STRETCH:
            return pl.Series(texts.name, [_hash(one) for one in data], dtype=pl.UInt64)
    lengths = texts.str.len_bytes()
    shortest, longest = lengths.min(), lengths.max()
    if not isinstance(shortest, int) or not isinstance(longest, int):
        return pl.Series(texts.name, [], dtype=pl.UInt64)
    if shortest == longest and longest and not longest % _WORD and longest <= _STRETCH:
        found = _sum(texts.cast(pl.Binary), 0, longest // _WORD)
        return (found + (longest * _factor(-1) & _MASK)).alias(texts.name)
    padded = texts + "\0" * max(_WORD, min(longest - shortest, _STRETCH) + _WORD)
    pieces = padded.cast(pl.Binary)
    if longest <= _STRETCH:
        words = _words(longest)
        found = _sum(pieces.bin.head(words * _WORD), 0, words) + _of_length(lengths)
        return found.alias(texts.name)
    order = lengths.arg_sort(descending=True)
    pieces, lengths = pieces.gather(order), lengths.gather(order)
    found = _of_length(lengths)
    for start in range(0, longest, _STRETCH):
        # the longest come first; a text without bytes here already has its hash
        pieces = pieces.head(int((lengths > start).sum()))
        words = _words(min(longest - start, _STRETCH))
        more = _sum(pieces.bin.slice(start, words * _WORD), start, words)
        found = (found.head(len(more)) + more).append(found[len(more) :])
    return found.gather(order.arg_sort()).alias(texts.name)


def stable_hash_of(text: str) -> str:
    """The hash of one text, in decimal digits."""
    return str(_hash(text.encode()))


def _hash(data: bytes) -> int:
    words = struct.unpack(f"<{-(-len(data) // _WORD)}I", data + bytes(-len(data) % _WORD))
    found = len(data) * _factor(-1)
    for place, word in enumerate(words):
        found += word * _factor(place)
    return found & _MASK


def _words(size: int) -> int:
    return max(1, -(-size // _WORD))


def _sum(pieces: pl.Series, start: int, words: int) -> pl.Series:
    """The contribution of these words (Binary), which begin at the byte `start`. It wraps at 2**64.

    Operations on whole arrays cost a fraction of a query over their positions.
    """
    apart = pieces.bin.reinterpret(dtype=pl.Array(pl.UInt32, words), endianness="little")
    return (apart.cast(pl.Array(pl.UInt64, words)) * _factors(start // _WORD, words)).arr.sum()


@lru_cache(maxsize=4096)
def _factors(first: int, words: int) -> pl.Series:
    factors = [_factor(first + place) for place in range(words)]
    return pl.Series([factors], dtype=pl.Array(pl.UInt64, words))


def _of_length(lengths: pl.Series) -> pl.Series:
    return lengths.cast(pl.UInt64) * _factor(-1)


@lru_cache(maxsize=4096)
def _factor(place: int) -> int:
    """A pseudo-random odd number for each position (SplitMix64)."""
    mixed = (place + 2) * 0x9E37_79B9_7F4A_7C15 & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & _MASK
    return mixed ^ mixed >> 31 | 1
