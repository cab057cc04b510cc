"""Which shard a user belongs to: Kafka's default partitioner, over whole columns.

The hash is the murmur2 of Kafka's Java client. It runs over one group of users for each
length in bytes, word by word, so that every operation is one over a column.
"""

import polars as pl

__all__ = ["partition_of"]

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_MASK = 0xFFFF_FFFF


def partition_of(users: pl.Series, n: int) -> pl.Series:
    """The partitions, of `n`, of user ids (String, none null): an Int32 as long as `users`."""
    lengths = users.str.len_bytes()
    present = lengths.unique().to_list()
    if len(present) == 1:
        return _partition(users, present[0], n)
    # An empty frame first, so that no users at all give a column of the right type.
    parts = [pl.DataFrame(schema={"at": pl.UInt32, "partition": pl.Int32})]
    for length in present:
        at = (lengths == length).arg_true()
        partition = _partition(users.gather(at), length, n)
        parts.append(pl.DataFrame({"at": at.cast(pl.UInt32), "partition": partition}))
    return pl.concat(parts).sort("at")["partition"].alias(users.name)


def _partition(users: pl.Series, length: int, n: int) -> pl.Series:
    hashed = _murmur2(users.cast(pl.Binary), length)
    return ((hashed & 0x7FFF_FFFF) % n).cast(pl.Int32)


def _murmur2(keys: pl.Series, length: int) -> pl.Series:
    """The hashes (UInt32) of keys that are all of `length` bytes. Arithmetic wraps at 2**32."""
    whole = length // 4 * 4
    mixed = pl.Series(keys.name, [_SEED ^ length], dtype=pl.UInt32).new_from_index(0, len(keys))
    if whole:
        words = keys if whole == length else keys.bin.head(whole)
        columns = words.bin.reinterpret(dtype=pl.Array(pl.UInt32, whole // 4), endianness="little")
        for index in range(whole // 4):
            word = columns.arr.get(index) * _FACTOR
            mixed = mixed * _FACTOR ^ (word ^ _shift(word, 24)) * _FACTOR
    if whole < length:
        tail = keys.bin.tail(length - whole).bin.reinterpret(
            dtype=pl.Array(pl.UInt8, length - whole), endianness="little"
        )
        for index in range(length - whole):
            mixed = mixed ^ tail.arr.get(index).cast(pl.UInt32) * (1 << 8 * index)
        mixed = mixed * _FACTOR
    mixed = (mixed ^ _shift(mixed, 13)) * _FACTOR
    return mixed ^ _shift(mixed, 15)


def _shift(values: pl.Series, bits: int) -> pl.Series:
    return values // (1 << bits)
