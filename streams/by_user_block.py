"""Blocks of a `by_user` run: some thousands of interactions of few users, as bytes.

Inside the index a user is packed: 24 lower-case hex digits as their 12 bytes, any other name
as its UTF-8 with `a` behind it, or `bb` where that would make 12 bytes. So names are short,
sort fast, and no two are the same. A packed frame has the columns of `interaction.SCHEMA`
with `user` as Binary and `kind` and `channel` as positions.

A block is a Parquet file of one row group, zstd, without the columns that are null
throughout, and with `span` (last - first) instead of `last`. The format is local to a store
that may be thrown away at any time, so nothing here is versioned but the store itself.
"""

import io
import re
from collections.abc import Iterator, Mapping

import polars as pl

from schemas.errors import Recoverable
from schemas.interaction import CHANNELS, COLUMNS, KINDS, SCHEMA

__all__ = [
    "BLOCK_ROWS",
    "PACKED",
    "CorruptBlock",
    "decode",
    "encode",
    "pack",
    "pack_user",
    "split",
    "unpack",
]

#: A block's rows: few enough that reading one takes half a millisecond.
BLOCK_ROWS = 4_000
_HEX = "^[0-9a-f]{24}$"
_HEX_PATTERN = re.compile(_HEX)
_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    **SCHEMA,
    "user": pl.Binary,
    "kind": pl.UInt8,
    "channel": pl.UInt8,
}
PACKED = pl.Schema(_TYPES)
_OPTIONAL = ("channel", "step", "variation", "detail")


class CorruptBlock(Recoverable):
    """Bytes of the local index are not what was written: throw the index away."""


def pack_user(user: str) -> bytes:
    """A user as the index writes it."""
    if _HEX_PATTERN.fullmatch(user):
        return bytes.fromhex(user)
    data = user.encode()
    return data + (b"bb" if len(data) == 11 else b"a")


def pack(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame in `interaction.SCHEMA` as a packed one, rows in the same order."""
    return frame.with_columns(
        _packed(frame["user"]), pl.col("kind").to_physical(), pl.col("channel").to_physical()
    )


def _packed(user: pl.Series) -> pl.Series:
    if (user.str.len_bytes() == 24).all():
        packed = user.str.decode("hex", strict=False)
        if packed.null_count() == 0 and (packed.bin.encode("hex") == user).all():
            return packed
    hexed = user.str.contains(_HEX)
    named = (
        pl.when(pl.col("user").str.len_bytes() == 11)
        .then(pl.col("user") + "bb")
        .otherwise(pl.col("user") + "a")
        .cast(pl.Binary)
    )
    digits = pl.col("user").str.decode("hex", strict=False)
    either = pl.when(hexed).then(digits).otherwise(named)
    return user.to_frame("user").select(user=either)["user"]


def unpack(frame: pl.DataFrame, users: Mapping[bytes, str]) -> pl.DataFrame:
    """A packed frame in `interaction.SCHEMA`; `users` has the name of every packed user."""
    return frame.select(
        pl.col("source"),
        pl.col("user").replace_strict(
            pl.Series(list(users), dtype=pl.Binary),
            pl.Series(list(users.values()), dtype=pl.String),
        ),
        pl.col("kind").cat.to(pl.Enum(KINDS)),
        pl.col("channel").cat.to(pl.Enum(CHANNELS)),
        *COLUMNS[4:],
    )


def split(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A sorted frame in pieces of at most `BLOCK_ROWS` rows, of about one size."""
    count = -(-frame.height // BLOCK_ROWS)
    for number in range(count):
        start = frame.height * number // count
        yield frame[start : frame.height * (number + 1) // count]


def encode(frame: pl.DataFrame) -> bytes:
    """A packed frame as a block."""
    kept = [name for name in _OPTIONAL if frame[name].null_count() < frame.height]
    stored = frame.select(
        "source", "user", "kind", *kept, "first", span=pl.col("last") - pl.col("first")
    )
    buffer = io.BytesIO()
    stored.write_parquet(
        buffer,
        compression="zstd",
        compression_level=1,
        statistics=False,
        row_group_size=max(frame.height, 1),
    )
    return buffer.getvalue()


def decode(data: bytes, keep: pl.Expr | None = None) -> pl.DataFrame:
    """A block as a packed frame, or those rows of it that `keep` is true of; it may look at
    `source` and `user`. Raises `CorruptBlock`.
    """
    try:
        # One small row group: threads would cost more than they save.
        stored = pl.read_parquet(io.BytesIO(data), use_statistics=False, parallel="none")
        if keep is not None:
            stored = stored.filter(keep)
        absent = [
            pl.lit(None, PACKED[name]).alias(name)
            for name in _OPTIONAL
            if name not in stored.columns
        ]
        frame = stored.with_columns(*absent, last=pl.col("first") + pl.col("span")).select(COLUMNS)
    # A panic of Polars derives from BaseException alone.
    except (Exception, pl.exceptions.PanicException) as error:
        raise CorruptBlock(f"a block of {len(data)} bytes cannot be decoded: {error}") from error
    if frame.schema != PACKED:
        raise CorruptBlock(f"a block of {len(data)} bytes holds other columns: {frame.schema}")
    return frame
