"""The order of rows in a segment: by source, then by user, as UTF-8 bytes.

Most users are 24 lower-case hex digits, whose order is the order of the numbers that they spell.
For these, one number of 64 bits, the rank of the source above the highest bits of the user, sorts
four times as fast as the two texts.
"""

import polars as pl

from schemas.tables.view import FEW

__all__ = ["PACKED", "in_order", "pack_users"]

PACKED = "user_hex"
"""Column with the bytes of users of 24 lower-case hex digits, where all are such."""
_DIGITS = 24
# Below this many rows a source, taking the sources apart costs more than it saves.
_ROWS_A_SOURCE = 500
_MOST_RANK_BITS = 20


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort interactions by (source, user); rows with equal source and user come in any order.

    Uses the column `PACKED` if `frame` has it.
    """
    if frame.height >= FEW:
        packed = frame[PACKED] if PACKED in frame.columns else pack_users(frame["user"])
        order = None if packed is None else _by_number(frame["source"], packed)
        if order is not None:
            return frame[order]
    sources = frame["source"].n_unique()
    if sources * _ROWS_A_SOURCE >= frame.height:
        return frame.sort("source", "user")
    parts = frame.partition_by("source", as_dict=True)
    return pl.concat([parts[key].sort("user") for key in sorted(parts)])


def pack_users(user: pl.Series) -> pl.Series | None:
    """The users as 12 bytes each, if all of them are 24 lower-case hex digits."""
    if not (user.str.len_bytes() == _DIGITS).all():
        return None
    packed = user.str.decode("hex", strict=False)
    if packed.null_count() or not (packed.bin.encode("hex") == user).all():
        return None
    return packed.alias(PACKED)


def _by_number(source: pl.Series, packed: pl.Series) -> pl.Series | None:
    """The order of rows, or None if the numbers do not distinguish all users of a source."""
    names = source.unique().sort()
    bits = max(1, (len(names) - 1).bit_length())
    if bits > _MOST_RANK_BITS:
        return None
    rows = pl.DataFrame(
        [
            source.cast(pl.Enum(names)).to_physical().cast(pl.UInt64).alias("rank"),
            packed.bin.head(8).bin.reinterpret(dtype=pl.UInt64, endianness="big").alias("head"),
            packed.bin.tail(4).bin.reinterpret(dtype=pl.UInt32, endianness="big").alias("tail"),
        ]
    ).with_columns(
        number=pl.col("rank") * pl.lit(1 << (64 - bits), pl.UInt64)
        + pl.col("head") // pl.lit(1 << bits, pl.UInt64)
    )
    order = rows["number"].arg_sort()
    placed = rows[order]
    former = placed.select(pl.all().shift())
    same = placed["number"] == former["number"]
    other = (placed["head"] != former["head"]) | (placed["tail"] != former["tail"])
    return None if (same & other).any() else order
