"""Which shard a user belongs to: Kafka's default partitioner, over whole columns.

The hash is the murmur2 of Kafka's Java client. Users of one length, which most are, take three
queries. Others go in groups of as many words of four bytes, word by word, so that every operation
is one over a column; few of a group one by one. The work is proportional to the bytes.
"""

import struct
from functools import lru_cache

import polars as pl

from schemas.tables.view import select

__all__ = ["partition_of"]

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_MASK = 0xFFFF_FFFF
_WORD = 4
_SHORT = 40
"""Up to so many bytes the words of users of one length are expressions of one query: the cost of
that grows with the square of their number."""
_FEW = 120
"""Below so many users of a group it costs more to set operations up than to go through them."""


def partition_of(users: pl.Series, n: int) -> pl.Series:
    """The partitions, of `n`, of user ids (String, none null): an Int32 as long as `users`."""
    lengths = users.str.len_bytes()
    shortest = lengths.min()
    if isinstance(shortest, int) and shortest == lengths.max() and shortest <= _SHORT:
        return _partition(users, shortest, n)
    places = pl.DataFrame([(lengths // _WORD).alias("words")]).with_row_index("at")
    groups = places.group_by("words").agg("at")
    # An empty frame first, so that no users at all give a column of the right type.
    parts = [pl.DataFrame(schema={"at": pl.UInt32, "partition": pl.Int32})]
    few: list[pl.Series] = []
    for words, at in groups.iter_rows():
        rows = pl.Series(at, dtype=pl.UInt32)
        if len(rows) < _FEW:
            few.append(rows)
            continue
        hashed = _by_words(users.gather(rows), lengths.gather(rows), words)
        parts.append(pl.DataFrame({"at": rows, "partition": _of_hash(hashed, n)}))
    if few:
        rows = pl.concat(few)
        hashes = [_hash(user.encode()) for user in users.gather(rows)]
        found = pl.Series([(value & 0x7FFF_FFFF) % n for value in hashes], dtype=pl.Int32)
        parts.append(pl.DataFrame({"at": rows, "partition": found}))
    return pl.concat(parts).sort("at")["partition"].alias(users.name)


def _hash(key: bytes) -> int:
    size = len(key)
    words = size // _WORD
    hashed = _SEED ^ size
    for word in struct.unpack_from(f"<{words}I", key):
        mixed = word * _FACTOR & _MASK
        mixed = (mixed ^ mixed >> 24) * _FACTOR & _MASK
        hashed = hashed * _FACTOR & _MASK ^ mixed
    if size % _WORD:
        hashed = (hashed ^ int.from_bytes(key[words * _WORD :], "little")) * _FACTOR & _MASK
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _MASK
    return hashed ^ hashed >> 15


def _by_words(users: pl.Series, lengths: pl.Series, words: int) -> pl.Series:
    """The hashes (UInt32) of users who have all `words` whole words, and up to three bytes more."""
    padded = (users + "\0" * _WORD).cast(pl.Binary).bin.head(_WORD * (words + 1))
    array = padded.bin.reinterpret(dtype=pl.Array(pl.UInt32, words + 1), endianness="little")
    flat = array.explode()
    mixed = flat * _FACTOR
    mixed = (mixed ^ mixed // (1 << 24)) * _FACTOR
    hashed = lengths.cast(pl.UInt32) ^ _SEED
    for index in range(words):
        hashed = (hashed * _FACTOR) ^ mixed.gather_every(words + 1, index)
    tail = flat.gather_every(words + 1, words)
    hashed = ((hashed ^ tail) * _FACTOR).zip_with(lengths % _WORD != 0, hashed)
    hashed = (hashed ^ hashed // (1 << 13)) * _FACTOR
    return hashed ^ hashed // (1 << 15)


def _of_hash(hashed: pl.Series, n: int) -> pl.Series:
    return ((hashed & 0x7FFF_FFFF) % n).cast(pl.Int32)


def _partition(users: pl.Series, length: int, n: int) -> pl.Series:
    found = pl.DataFrame([users.cast(pl.Binary).alias("key")])
    for columns in _passes(length, n):
        found = select(found, columns)
    return found.to_series().alias(users.name)


@lru_cache(maxsize=4096)
def _passes(length: int, n: int) -> list[list[pl.Expr]]:
    """Three queries for the whole hash: one for every step of it would cost more than the
    arithmetic where there are few users, and one alone would do the same work four times.
    """
    key, hashed = pl.col("key"), pl.col("hash")
    last = ((hashed ^ _shift(hashed, 15)) & _u32(0x7FFF_FFFF)) % _u32(n)
    return [
        [_body(key, length).alias("hash")],
        [((hashed ^ _shift(hashed, 13)) * _u32(_FACTOR)).alias("hash")],
        [last.cast(pl.Int32)],
    ]


def _body(keys: pl.Expr, length: int) -> pl.Expr:
    """The hashes (UInt32), before their last mixing, of keys that are all of `length` bytes.

    Arithmetic wraps at 2**32.
    """
    whole = length // 4 * 4
    # The size of an empty key is 0; it makes a column of what would be one number.
    mixed = _u32(_SEED ^ length) if length else keys.bin.size().cast(pl.UInt32) ^ _u32(_SEED)
    if whole:
        words = keys if whole == length else keys.bin.head(whole)
        columns = words.bin.reinterpret(dtype=pl.Array(pl.UInt32, whole // 4), endianness="little")
        for index in range(whole // 4):
            word = columns.arr.get(index) * _u32(_FACTOR)
            mixed = mixed * _u32(_FACTOR) ^ (word ^ _shift(word, 24)) * _u32(_FACTOR)
    if whole < length:
        tail = keys.bin.tail(length - whole).bin.reinterpret(
            dtype=pl.Array(pl.UInt8, length - whole), endianness="little"
        )
        for index in range(length - whole):
            mixed = mixed ^ tail.arr.get(index).cast(pl.UInt32) * _u32(1 << 8 * index)
        mixed = mixed * _u32(_FACTOR)
    return mixed


def _shift(values: pl.Expr, bits: int) -> pl.Expr:
    return values // _u32(1 << bits)


def _u32(number: int) -> pl.Expr:
    return pl.lit(number, pl.UInt32)
