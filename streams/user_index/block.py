"""Blocks of a `by_user` run: about a thousand interactions of few users, as bytes.

Inside the index a user is packed. 24 lower-case hex digits become 12 bytes; any other name is its
UTF-8 followed by `a`, or by `bb` if one letter would make 12 bytes. So packed names are short, sort
fast and are unique. A packed frame has the columns of `interaction.SCHEMA` with `user` as Binary
and `kind` and `channel` as positions.

A block is one Arrow IPC stream of one batch, compressed by lz4 as a whole. Columns that are null in
all rows are left out, and `span` (last - first) replaces `last`. Compared with Parquet and zstd it
is half as large again and takes a tenth of the time to read. The format is local to a store that
may be deleted at any time, so only the store has a version.
"""

import io
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import cramjam
import polars as pl

from schemas.errors import Recoverable
from schemas.segment.order import pack_users
from schemas.tables.interaction import CHANNELS, COLUMNS, KINDS, SCHEMA
from streams.user_index.rows import Row

__all__ = [
    "BLOCK_ROWS",
    "PACKED",
    "CorruptBlock",
    "decode",
    "encode",
    "names",
    "pack",
    "pack_user",
    "rows_of",
    "split",
    "unpack",
]

#: A block's rows: so few that finding a user in one takes a sixth of a millisecond, so many
#: that what a block costs by itself does not matter.
BLOCK_ROWS = 1_000
_SIZE_BYTES = 4
_MOST_RATIO = 255
"""By how much lz4 can make bytes fewer."""
_HEX = "^[0-9a-f]{24}$"
_HEX_BYTES = 12
_HEX_PATTERN = re.compile(_HEX)
_TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    **SCHEMA,
    "user": pl.Binary,
    "kind": pl.UInt8,
    "channel": pl.UInt8,
}
PACKED = pl.Schema(_TYPES)
_OPTIONAL = ("channel", "step", "variation", "detail")
_STORED = frozenset({*COLUMNS, "span"} - {"last"})
_NEEDED = _STORED - {*_OPTIONAL}
_ASKED = ("source", "kind", "channel", "step", "variation", "detail", "first", "span")


class CorruptBlock(Recoverable):
    """Bytes of the local index differ from what was written: delete the index."""


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
    packed = pack_users(user)
    if packed is not None:
        return packed.alias(user.name)
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


def names(packed: pl.Series) -> pl.Series:
    """Packed users (Binary) by name (String)."""
    sizes = packed.bin.size()
    if (sizes == _HEX_BYTES).all():
        return packed.bin.encode("hex")
    size = pl.col("size")
    hexed = (sizes == _HEX_BYTES).alias("hexed")
    frame = pl.DataFrame([packed.alias("user"), sizes.cast(pl.Int64).alias("size"), hexed])
    # digits are no text
    letters = pl.when(pl.col("user").bin.ends_with(b"b")).then(2).otherwise(1)
    plain = pl.when("hexed").then(pl.lit(b"a")).otherwise("user")
    text = plain.bin.head(pl.when("hexed").then(0).otherwise(size - letters)).cast(pl.String)
    named = pl.when("hexed").then(pl.col("user").bin.encode("hex")).otherwise(text)
    return frame.select(user=named)["user"]


def unpack(frame: pl.DataFrame) -> pl.DataFrame:
    """A packed frame in `interaction.SCHEMA`: what `pack` was given."""
    return frame.with_columns(
        names(frame["user"]).alias("user"),
        pl.lit(pl.Series(KINDS, dtype=SCHEMA["kind"])).gather("kind").alias("kind"),
        pl.lit(pl.Series(CHANNELS, dtype=SCHEMA["channel"])).gather("channel").alias("channel"),
    )


def split(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Pieces of a sorted frame, at most `BLOCK_ROWS` rows each, of about equal size."""
    count = -(-frame.height // BLOCK_ROWS)
    for number in range(count):
        start = frame.height * number // count
        yield frame[start : frame.height * (number + 1) // count]


def encode(frame: pl.DataFrame) -> bytes:
    """A packed frame, sorted by user, as a block."""
    spans = (frame["last"] - frame["first"]).alias("span")
    # no query: a block has few rows, and there are many blocks
    columns = [
        column
        for column in frame.get_columns()
        if column.name != "last"
        and not (column.name in _OPTIONAL and column.null_count() == frame.height)
    ]
    buffer = io.BytesIO()
    pl.DataFrame([*columns, spans]).write_ipc_stream(buffer)
    return bytes(cramjam.lz4.compress_block(buffer.getvalue()))


def _stored(data: bytes) -> pl.DataFrame:
    try:
        # the size that the block claims is allocated before anything is read
        if int.from_bytes(data[:_SIZE_BYTES], "little") > _MOST_RATIO * len(data):
            raise ValueError("it claims to become larger than it can")
        stored = pl.read_ipc_stream(io.BytesIO(bytes(cramjam.lz4.decompress_block(data))))
    # A panic of Polars derives from BaseException alone.
    except (Exception, pl.exceptions.PanicException) as error:
        raise CorruptBlock(f"a block of {len(data)} bytes cannot be decoded: {error}") from error
    if not _NEEDED <= set(stored.columns) <= _STORED:
        raise CorruptBlock(f"a block of {len(data)} bytes holds other columns: {stored.columns}")
    # a stream that was cut right after its schema can be read, and no block is written empty
    if not stored.height:
        raise CorruptBlock(f"a block of {len(data)} bytes holds no rows")
    return stored


def decode(data: bytes) -> pl.DataFrame:
    """A block as a packed frame. Raises `CorruptBlock`."""
    stored = _stored(data)
    absent = [
        pl.Series(name, [None], PACKED[name]).new_from_index(0, stored.height)
        for name in _OPTIONAL
        if name not in stored.columns
    ]
    lasts = (stored["first"] + stored["span"]).alias("last")
    return stored.hstack([*absent, lasts])[list(COLUMNS)]


def rows_of(data: bytes, users: Iterable[tuple[bytes, str]]) -> list[Row]:
    """A block's rows of `users`, each given packed and by name. Raises `CorruptBlock`."""
    stored = _stored(data)
    held = stored["user"]
    places = {name: place for place, name in enumerate(stored.columns)}
    # What is absent is behind all that is there: a None.
    at = [places.get(name, -1) for name in _ASKED]
    source, kind, channel, step, variation, detail, first, span = at
    found: list[Row] = []
    for packed, user in users:
        # A series answers a dozen questions for a value in a tenth of a search of its own.
        start = bisect_left(held, packed)
        count = bisect_right(held, packed, start) - start
        for row in stored.slice(start, count).rows() if count else ():
            row += (None,)
            on = row[channel]
            found.append(
                (
                    row[source],
                    user,
                    KINDS[row[kind]],
                    None if on is None else CHANNELS[on],
                    row[step],
                    row[variation],
                    row[detail],
                    row[first],
                    row[first] + row[span],
                )
            )
    return found
