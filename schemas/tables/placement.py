"""The shard of a user: Kafka's default partitioner, over whole columns.

The hash is the murmur2 of Kafka's Java client. Users are grouped by their number of words of four
bytes, and each group is processed word by word, so that every operation works on a whole column;
small groups are processed user by user. Users of the same length, which are the majority, form one
group. The work is proportional to the bytes.
"""

import struct

import polars as pl

__all__ = ["partition_of"]

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_MASK = 0xFFFF_FFFF
_WORD = 4
_SHORT = 40
"""Users of one length up to so many bytes go together without being grouped."""
_FEW = 120
"""Below so many users, or users of a group, it costs more to set operations up than to go through
them."""


def partition_of(users: pl.Series, n: int) -> pl.Series:
    """The partitions, of `n`, of user ids (String, none null): an Int32 as long as `users`."""
    if len(users) < _FEW:
        return _one_by_one(users, n).alias(users.name)
    lengths = users.str.len_bytes()
    shortest = lengths.min()
    if isinstance(shortest, int) and shortest == lengths.max() and 0 < shortest <= _SHORT:
        words, rest = divmod(shortest, _WORD)
        hashed = _by_words(users, lengths, words) if rest else _exactly(users, lengths, words)
        return _of_hash(hashed, n).alias(users.name)
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
        found = _one_by_one(users.gather(rows), n)
        parts.append(pl.DataFrame({"at": rows, "partition": found}))
    return pl.concat(parts).sort("at")["partition"].alias(users.name)


def _one_by_one(users: pl.Series, n: int) -> pl.Series:
    found = [(_hash(user.encode()) & 0x7FFF_FFFF) % n for user in users.to_list()]
    return pl.Series(found, dtype=pl.Int32)


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


def _exactly(users: pl.Series, lengths: pl.Series, words: int) -> pl.Series:
    """The hashes (UInt32) of users of exactly `words` whole words."""
    return _last(_body(_apart(users.cast(pl.Binary), words), words, lengths))


def _by_words(users: pl.Series, lengths: pl.Series, words: int) -> pl.Series:
    """The hashes (UInt32) of users of `words` whole words and up to three more bytes."""
    padded = (users + "\0" * _WORD).cast(pl.Binary).bin.head(_WORD * (words + 1))
    apart = _apart(padded, words + 1)
    hashed = _body(apart, words + 1, lengths, last=False)
    tail = apart.arr.get(words)
    return _last(((hashed ^ tail) * _FACTOR).zip_with(lengths % _WORD != 0, hashed))


def _apart(data: pl.Series, words: int) -> pl.Series:
    return data.bin.reinterpret(dtype=pl.Array(pl.UInt32, words), endianness="little")


def _body(apart: pl.Series, words: int, lengths: pl.Series, *, last: bool = True) -> pl.Series:
    """The hashes before the final mixing step, of rows of `words` words each; without `last`, the
    last word of each row is left out.

    Arithmetic wraps at 2**32. Operations on whole columns cost a fraction of one query, which would
    extract the words again for each position.
    """
    mixed = apart.explode() * _FACTOR
    mixed = (mixed ^ mixed // (1 << 24)) * _FACTOR
    columns = mixed.reshape((-1, words)).arr.to_struct().struct.unnest().get_columns()
    hashed = lengths.cast(pl.UInt32) ^ _SEED
    for column in columns if last else columns[:-1]:
        hashed = hashed * _FACTOR ^ column
    return hashed


def _last(hashed: pl.Series) -> pl.Series:
    hashed = (hashed ^ hashed // (1 << 13)) * _FACTOR
    return hashed ^ hashed // (1 << 15)


def _of_hash(hashed: pl.Series, n: int) -> pl.Series:
    return ((hashed & 0x7FFF_FFFF) % n).cast(pl.Int32)
