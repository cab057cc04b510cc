"""Which shard a user belongs to: Kafka's default partitioner, over whole columns.

The hash is the murmur2 of Kafka's Java client. It runs over one group of users for each
length in bytes, word by word, so that every operation is one over a column.
"""

from functools import lru_cache

import polars as pl

from schemas.decode_view import select

__all__ = ["partition_of"]

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_MASK = 0xFFFF_FFFF


def partition_of(users: pl.Series, n: int) -> pl.Series:
    """The partitions, of `n`, of user ids (String, none null): an Int32 as long as `users`."""
    lengths = users.str.len_bytes()
    shortest = lengths.min()
    if isinstance(shortest, int) and shortest == lengths.max():
        return _partition(users, shortest, n)
    # An empty frame first, so that no users at all give a column of the right type.
    parts = [pl.DataFrame(schema={"at": pl.UInt32, "partition": pl.Int32})]
    for length in lengths.unique().to_list():
        at = (lengths == length).arg_true()
        partition = _partition(users.gather(at), length, n)
        parts.append(pl.DataFrame({"at": at.cast(pl.UInt32), "partition": partition}))
    return pl.concat(parts).sort("at")["partition"].alias(users.name)


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
