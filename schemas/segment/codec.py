"""The segment codec: encodes interactions as compact Parquet, and decodes them.

One Parquet file of one row group, zstd, no statistics, rows sorted by (source, user):

    source     String
    user_hex   Binary   the user's 12 bytes, if every user of the file is 24 lower-case hex
    user       String   otherwise
    kind       UInt8    position in interaction.KINDS
    channel    UInt8    position in interaction.CHANNELS
    step, variation, detail   String
    first      UInt32   milliseconds after the file's `base`; Int64 if they do not fit
    span       UInt32   last - first; Int64 if it does not fit

Columns that are null in all rows are left out. Key-value metadata: `emberline` is the number of the
format, `base` the smallest `first`.
"""

import io
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from itertools import accumulate
from typing import IO

import polars as pl

from schemas.errors import CorruptSegment
from schemas.segment.order import PACKED, in_order, pack_users
from schemas.tables.interaction import COLUMNS, SCHEMA, empty

__all__ = [
    "FORMAT",
    "TIMELESS",
    "CorruptSegment",
    "checksum",
    "decode",
    "decode_together",
    "decode_user",
    "encode",
]

FORMAT = "1"
_UINT32_MAX = 0xFFFF_FFFF
_SMALL = 32_768
"""A segment of so few bytes is read as a whole: to plan what to leave out costs more."""
_OPTIONAL = ("channel", "step", "variation", "detail")
_PACKABLE = re.compile("[0-9a-f]{24}", re.ASCII)
TIMELESS = frozenset(SCHEMA.names()) - {"first", "last"}
"""The columns that mean the same in every segment: times are relative to the segment's `base`."""
_COLUMNS = frozenset({"source", "user_hex", "user", "kind", "first", "span", *_OPTIONAL})


def encode(frame: pl.DataFrame, *, presorted: bool = False) -> bytes:
    """Encode a frame in `interaction.SCHEMA`; sorts it by (source, user) unless it is sorted
    already.

    An additional column `PACKED` saves packing the users. The result has about 12-17 bytes for each
    row at 50,000 rows, and a fixed part of about 2 kB.
    """
    if not presorted:
        frame = in_order(frame)
    bounds = frame.select(
        base=pl.col("first").min(),
        reach=pl.col("first").max() - pl.col("first").min(),
        span_low=(pl.col("last") - pl.col("first")).min(),
        span_high=(pl.col("last") - pl.col("first")).max(),
    ).row(0)
    base, reach, span_low, span_high = (value or 0 for value in bounds)
    first_type = pl.UInt32 if 0 <= reach <= _UINT32_MAX else pl.Int64
    span_type = pl.UInt32 if span_low >= 0 and span_high <= _UINT32_MAX else pl.Int64
    rows = frame.height
    kept = [name for name in _OPTIONAL if frame[name].null_count() < rows]
    packed = frame[PACKED] if PACKED in frame.columns else pack_users(frame["user"])
    stored = frame.select(
        "source",
        frame["user"] if packed is None else packed,
        pl.col("kind").to_physical(),
        *(pl.col(name).to_physical() for name in kept),
        (pl.col("first") - base).cast(first_type),
        (pl.col("last") - pl.col("first")).cast(span_type).alias("span"),
    )
    buffer = io.BytesIO()
    stored.write_parquet(
        buffer,
        compression="zstd",
        compression_level=1,
        statistics=False,
        row_group_size=max(rows, 1),
        metadata={"emberline": FORMAT, "base": str(base)},
    )
    return buffer.getvalue()


def decode(
    data: bytes,
    sources: Sequence[str] | None = None,
    columns: Sequence[str] = COLUMNS,
    where: pl.Expr | None = None,
    users: tuple[str | None, str | None] | None = None,
    packed: bool = False,
) -> pl.DataFrame:
    """Decode a segment to a frame in `interaction.SCHEMA`, sorted by (source, user).

    The arguments select rows and columns: `sources` only their rows; `columns` only these columns;
    `where` only rows for which it is true; `users` only users in [low, high), for a segment with
    one source. Most of the rest is neither decoded nor held. With `packed`, and a `where` that does
    not use the users, users of 24 digits may be Binary: their 12 bytes.

    Raises `CorruptSegment` if the bytes are inconsistent. Only `checksum` detects bytes that are a
    valid file with other rows.
    """
    with _reading([data]):
        metadata = _metadata(data)
        stored: pl.LazyFrame | pl.DataFrame
        if len(data) <= _SMALL:
            stored = _whole(data)
            stored = stored[_needed(stored.columns, sources, columns, where, users is not None)]
            if sources is not None:
                stored = stored.filter(_of(sources))
        else:
            stored = _stored([data], sources, columns, where, users is not None)
        if users is not None:
            stored = _between(stored.lazy().collect(), *users)
        return _expand(stored, int(metadata["base"]), columns, where, packed)


def decode_together(parts: Sequence[bytes], source: str, columns: Sequence[str]) -> pl.DataFrame:
    """Decode several segments to one frame: their rows of `source`, in any order, with these of the
    columns `TIMELESS`.

    Takes a third of the time of `decode` for each, where each has few rows of the source. Raises
    `CorruptSegment` if the bytes of any are inconsistent, `ValueError` for other columns.
    """
    if not TIMELESS.issuperset(columns):
        raise ValueError(f"each segment has times of its own: {list(columns)}")
    forms: dict[tuple[str, ...], list[bytes]] = {}
    with _reading(parts):
        for data in parts:
            _metadata(data)
            forms.setdefault(tuple(pl.read_parquet_schema(io.BytesIO(data))), []).append(data)
        frames = [
            _expand(_stored(alike, [source], columns, None, False), 0, columns, None, False)
            for alike in forms.values()
        ]
    return pl.concat([pl.DataFrame(schema={name: SCHEMA[name] for name in columns}), *frames])


def decode_user(parts: Sequence[bytes], rows: Sequence[int], user: str) -> pl.DataFrame:
    """The rows of one user in several segments, which have so many `rows`: in `interaction.SCHEMA`
    and in any order.

    Of segments without the user only the users are read, of all segments together: that costs some
    40 us for each. Raises `CorruptSegment` if the bytes of any are inconsistent.
    """
    packed = bytes.fromhex(user) if _PACKABLE.fullmatch(user) else None
    found = [empty().lazy()]
    with _reading(parts):
        for data in _holders(parts, rows, user, packed):
            base = int(_metadata(data)["base"])
            stored = _stored([data], None, COLUMNS, None, True)
            there = stored.collect_schema()
            own = pl.col(PACKED) == packed if PACKED in there else pl.col("user") == user
            columns = {name: _column(name, base, there) for name in COLUMNS}
            found.append(stored.filter(own).select(**{**columns, "user": pl.lit(user)}))
        return pl.concat(found).collect()


def _holders(
    parts: Sequence[bytes], rows: Sequence[int], user: str, packed: bytes | None
) -> list[bytes]:
    """The segments that have rows of a user."""
    forms: dict[tuple[str, ...], tuple[list[bytes], list[int]]] = {}
    for data, count in zip(parts, rows, strict=True):
        _metadata(data)
        there = tuple(pl.read_parquet_schema(io.BytesIO(data)))
        alike, counts = forms.setdefault(there, ([], []))
        alike.append(data)
        counts.append(count)
    held: list[bytes] = []
    for there, (alike, counts) in forms.items():
        column, value = (PACKED, packed) if PACKED in there else ("user", user)
        if value is None:
            continue  # segments of packed users have no other ones
        files: list[IO[bytes]] = [io.BytesIO(data) for data in alike]
        column_of = pl.scan_parquet(files, use_statistics=False).select(column).collect()[column]
        ends = list(accumulate(counts))
        if len(column_of) != ends[-1]:
            raise ValueError(f"{len(column_of)} rows, and not {ends[-1]}")
        at = column_of.is_in([value]).arg_true().to_list()
        held += [alike[number] for number in dict.fromkeys(bisect_right(ends, row) for row in at)]
    return held


@contextmanager
def _reading(parts: Sequence[bytes]) -> Iterator[None]:
    """Makes any error of reading these a CorruptSegment."""
    try:
        yield
    except CorruptSegment:
        raise
    # A panic of Polars derives from BaseException alone.
    except (Exception, pl.exceptions.PanicException) as error:
        size = sum(map(len, parts))
        what = (
            f"a segment of {size}" if len(parts) == 1 else f"one of {len(parts)} segments, {size}"
        )
        raise CorruptSegment(
            f"{what} bytes cannot be decoded: {error}",
            remedy="restore the record from a replica or a backup of its topic",
        ) from error


def _metadata(data: bytes) -> dict[str, str]:
    """The key-value metadata of a segment. Raises `CorruptSegment` if it has another format."""
    found = pl.read_parquet_metadata(io.BytesIO(data))
    if (stored := found.get("emberline")) != FORMAT:
        raise CorruptSegment(
            f"a segment of {len(data)} bytes has format {stored!r}, not {FORMAT!r}",
            remedy="read it with the version of emberline that wrote it",
        )
    return found


def checksum(data: bytes) -> str:
    """The checksum of encoded bytes: BLAKE2b of 128 bits, as hex."""
    return blake2b(data, digest_size=16).hexdigest()


def _stored(
    parts: Sequence[bytes],
    sources: Sequence[str] | None,
    wanted: Sequence[str],
    where: pl.Expr | None,
    by_user: bool,
) -> pl.LazyFrame:
    """These columns of files that have the same ones, in stored form; with the users if
    `by_user`.
    """
    there = pl.read_parquet_schema(io.BytesIO(parts[0]))
    read = _needed(there, sources, wanted, where, by_user)
    files: list[IO[bytes]] = [io.BytesIO(data) for data in parts]
    stored = pl.scan_parquet(files, use_statistics=False).select(read)
    return stored if sources is None else stored.filter(_of(sources))


def _whole(data: bytes) -> pl.DataFrame:
    """All of a file, in stored form."""
    return pl.read_parquet(io.BytesIO(data), use_statistics=False)


def _needed(
    there: Collection[str],
    sources: Sequence[str] | None,
    wanted: Sequence[str],
    where: pl.Expr | None,
    by_user: bool,
) -> list[str]:
    """Which columns of a file are to be read, of those that it has."""
    if not _COLUMNS.issuperset(there):
        raise ValueError(f"unexpected columns {list(there)}")
    asked = {*wanted, *_names(where)}
    if sources is not None:
        asked.add("source")
    if by_user:
        asked.add("user")
    if "last" in asked:
        asked |= {"first", "span"}
    if "user" in asked and "user_hex" in there:
        asked.add("user_hex")
    # One column is always there: how many rows there are has to be known.
    return [name for name in there if name in asked or name == "kind"]


def _of(sources: Sequence[str]) -> pl.Expr:
    return pl.col("source").is_in(list(sources))


def _between(stored: pl.DataFrame, low: str | None, high: str | None) -> pl.DataFrame:
    """The rows, sorted by user, of users in [low, high): a copy that holds no other memory."""
    packed = "user_hex" in stored.columns
    users = stored["user_hex" if packed else "user"]

    def text(user: bytes | str) -> str:
        return user.hex() if isinstance(user, bytes) else user

    begin = 0 if low is None else bisect_left(users, low, key=text)
    end = len(users) if high is None else bisect_left(users, high, key=text)
    return stored.filter(pl.int_range(pl.len()).is_between(begin, end, closed="left"))


def _expand(
    stored: pl.LazyFrame | pl.DataFrame,
    base: int,
    wanted: Sequence[str],
    where: pl.Expr | None,
    keep: bool,
) -> pl.DataFrame:
    there = stored.collect_schema()
    packed = "user_hex" in there
    asked = dict.fromkeys((*wanted, *_names(where), "kind"))
    rows = stored.select(_column(name, base, there) for name in asked)
    if where is not None and packed and "user" in _names(where):
        rows, packed = rows.with_columns(_DIGITS), False
    if where is not None:
        rows = rows.filter(where)
    types = {name: SCHEMA[name] for name in wanted}
    if packed and keep and "user" in types:
        types["user"] = pl.Binary()
    elif packed and "user" in types:
        # Digits take most of the time: only users that are left get them.
        rows = rows.with_columns(_DIGITS)
    frame = rows[list(wanted)] if isinstance(rows, pl.DataFrame) else rows.select(wanted).collect()
    if frame.schema != types:
        raise ValueError(f"unexpected types {frame.schema}")
    return frame


def _column(name: str, base: int, there: Collection[str]) -> pl.Expr:
    """A column of interactions, from stored columns of a file; users may still be packed."""
    if name == "first":
        return _FIRST + base
    if name == "last":
        return (_FIRST + base + _SPAN).alias("last")
    if name == "user" and "user_hex" in there:
        return _PACKED_USER
    return _stored_column(name, name in there)


_FIRST = pl.col("first").cast(pl.Int64)
_SPAN = pl.col("span").cast(pl.Int64)
_PACKED_USER = pl.col("user_hex").alias("user")
_DIGITS = pl.col("user").bin.encode("hex")


@cache
def _stored_column(name: str, there: bool) -> pl.Expr:
    if not there and name in _OPTIONAL:
        return pl.lit(None, SCHEMA[name]).alias(name)
    return pl.col(name).cat.to(SCHEMA[name]) if name in ("kind", "channel") else pl.col(name)


def _names(where: pl.Expr | None) -> list[str]:
    return [] if where is None else where.meta.root_names()
