"""Reads whole record batches as one Avro block.

Kafka's record format and Avro's binary encoding write numbers and lengths in the same way. So a
record schema that has the fields of the Kafka record around the fields of the event reads a batch
without any work for single records. Offset deltas, constant framing, the sum of the lengths and a
record of zeros at the very end prove that every record was read at its correct position.

Polars accepts some invalid bytes (the index of a union, the byte of a boolean, numbers of too many
bits); schemas.decode.one accepts the same. Fields that are not read are not checked, not even for
UTF-8.
"""

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from schemas.decode.batch import RecordBatch
from schemas.decode.batch_records import LEAST_BYTES, MOST_HEADERS
from schemas.decode.check import RULED, broken
from schemas.decode.forward import LAYOUTS, STAMP, TOPIC
from schemas.decode.plan import SYNC, UNREADABLE, DecodePlan, container_header
from schemas.errors import EmberlineError
from schemas.records.varint import read_varint, varint
from schemas.tables.view import Projection, select

__all__ = ["Misfit", "Numbered", "Read", "Shape", "peek", "read_batches"]

Numbered: TypeAlias = tuple[int, RecordBatch]
"""A batch with its number, which is the caller's."""

_FRAME = struct.Struct(">bI")
_END_TIME = 0x5EA1_ED5E_A1ED
_WORTH_COPYING = 128
"""Records a batch from which a series of each costs less than a list of where each is."""
_MARKS = ("_fits", "_size", "_shortest", "_longest", "_broken")
_FRAMING = ("length", "attributes", "time", "offset", "frame", "headers")


class Misfit(EmberlineError):
    """The batches cannot be read in this shape; other ways may still read them."""


class Shape(NamedTuple):
    """The properties that all records of a batch must share to be read together.

    `layout` has the names of all headers of forwarded records, and `origin` the value of the first
    header, which must be equal in all records; for other records they are empty and None.
    """

    schema_id: int
    null_key: bool
    headers: int
    log_append_time: bool
    layout: tuple[str, ...] = ()
    origin: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The bytes before each body."""
        return _FRAME.pack(0, self.schema_id)


@dataclass(frozen=True, slots=True)
class Read:
    """`frame` has the columns of a view, and `batch` (UInt32: the batch's number), `offset` and
    `timestamp` (Int64). `longest` is the length of the longest record. `broken` says whether some
    event breaks a rule of schemas.decode.check other than the length of texts, or has a fault.
    """

    frame: pl.DataFrame
    longest: int
    broken: bool


@dataclass(frozen=True, slots=True)
class _Query:
    """The columns to read, and the expressions over them."""

    names: list[str]
    columns: list[pl.Expr]


def peek(batch: RecordBatch, *, forwarded: bool = False) -> Shape | None:
    """The shape of the batch's first record. None if the record is not Avro in Confluent framing or
    has very many headers, or if the batch is too small for the number of records that it claims.

    A `forwarded` record must have the headers of schemas.decode.forward.
    """
    data = batch.payload
    if batch.count * LEAST_BYTES > len(data):
        return None
    try:
        _, at = read_varint(data, 0)
        _, at = read_varint(data, at + 1)
        _, at = read_varint(data, at)
        key, at = read_varint(data, at)
        size, at = read_varint(data, at + max(key, 0))
        headers, after = read_varint(data, at + max(size, 0))
        found = _layout(data, after, headers) if forwarded else None
    except IndexError:
        return None
    if size < _FRAME.size or not 0 <= headers <= MOST_HEADERS or (forwarded and found is None):
        return None
    magic, schema_id = _FRAME.unpack_from(data, at)
    if magic:
        return None
    return Shape(schema_id, key < 0, headers, batch.log_append_time, *(found or ()))


def _layout(data: bytes, at: int, headers: int) -> tuple[tuple[str, ...], bytes] | None:
    """The names of the headers at `at`, and the value of the first one; None if they form no
    layout.
    """
    layout = next((one for one in LAYOUTS if len(one) == headers), None)
    if layout is None:
        return None
    origin = b""
    for name in layout:
        size, at = read_varint(data, at)
        if data[at : at + max(size, 0)] != name.encode():
            return None
        size, at = read_varint(data, at + size)
        if size < 0:
            return None
        if name == TOPIC:
            origin = data[at : at + size]
        at += size
    return layout, origin


def read_batches(
    shape: Shape,
    plan: DecodePlan,
    batches: Sequence[Numbered],
    view: Projection,
    max_bytes: int,
    *,
    faults: bool = False,
) -> Read:
    """Read batches of one shape. Raises `Misfit` unless it is proven that every record was read
    correctly and none is longer than `max_bytes`.

    With `faults` the frame has `code` and `detail` too, if the plan has faults: see `told` of it.
    """
    query = _query(shape, plan, view, faults and bool(plan.faults))
    head, end = _wrapping(plan, shape.null_key, shape.headers, shape.frame)
    count = sum(batch.count for _, batch in batches)
    size = sum(len(batch.payload) for _, batch in batches)
    data = b"".join(
        (
            head,
            varint(count + 1),
            varint(size + len(end)),
            *(batch.payload for _, batch in batches),
            end,
            SYNC,
        )
    )
    try:
        frame = pl.read_avro(io.BytesIO(data), columns=query.names)
        if frame.height != count + 1 or frame["time"][-1] != _END_TIME:
            raise Misfit("the records do not end where the batch ends")
        frame = select(frame.head(count).hstack(_per_record(batches)), query.columns)
        found: dict[str, Any] = {name: frame[name][0] for name in _MARKS}
    except UNREADABLE as error:
        raise Misfit(str(error)) from error
    if not found["_fits"]:
        raise Misfit("the records differ in their framing")
    if found["_size"] != size or found["_shortest"] < 0:
        raise Misfit("the records' lengths do not add up")
    if found["_longest"] > max_bytes:
        raise Misfit(f"a record of {found['_longest']} bytes")
    return Read(frame[:, : -len(_MARKS)], found["_longest"], found["_broken"])


@lru_cache(maxsize=1024)
def _query(shape: Shape, plan: DecodePlan, view: Projection, faults: bool) -> _Query:
    """One query for everything, because the fixed cost of a query exceeds its cost for a few
    rows.
    """
    names = list(_FRAMING)
    names += ["key"] if shape.null_key else []
    names += [f"header_key_{number}" for number in range(len(shape.layout))]
    stamp = shape.layout.index(STAMP) if STAMP in shape.layout else None
    names += [f"header_{number}" for number in (0, stamp) if shape.layout and number is not None]
    fields = sorted(view.needs | (RULED & plan.columns.keys()))
    names += dict.fromkeys(need for name in fields for need in plan.needs[name])

    length, offset = pl.col("length"), pl.col("offset")
    same = (
        (pl.col("headers") == shape.headers)
        & (pl.col("frame") == shape.frame)
        & ~pl.col("attributes")
        & (offset <= pl.col("last_delta"))
        & (offset >= 0)
        & ((offset > offset.shift()) | (pl.col("batch") != pl.col("batch").shift()))
    )
    if shape.null_key:
        same &= pl.col("key") == -1
    for number, name in enumerate(shape.layout):
        same &= pl.col(f"header_key_{number}") == name.encode()
    if shape.origin is not None:
        same &= pl.col("header_0") == shape.origin
    time = pl.col("base_time")
    timestamp = time if shape.log_append_time else time + pl.col("time")
    if stamp is not None:
        text = pl.col(f"header_{stamp}")
        timestamp = text.cast(pl.String).cast(pl.Int64)
        # in the one way in which schemas.decode.forward takes it, too
        same &= timestamp.cast(pl.String).cast(pl.Binary) == text
    wrong = broken(plan.columns, timestamp)
    if mapped := plan.faults_of(fields):
        wrong |= pl.any_horizontal(*(fault.bad for fault in mapped)).fill_null(False)
    columns = [
        *view.build(plan.columns.__getitem__),
        pl.col("batch"),
        (pl.col("base_offset") + offset).alias("offset"),
        timestamp.alias("timestamp"),
        *(plan.told(fields) if faults else ()),
        same.all().alias("_fits"),
        (
            length.sum()
            + length.len()
            + sum((length >= 1 << bits).sum() for bits in (6, 13, 20, 27))
        ).alias("_size"),
        length.min().alias("_shortest"),
        length.max().alias("_longest"),
        wrong.any().alias("_broken"),
    ]
    return _Query(names, columns)


def _per_record(batches: Sequence[Numbered]) -> list[pl.Series]:
    """The values that records take from their batch, repeated for every record."""
    columns = (
        ("batch", pl.UInt32, [number for number, _ in batches]),
        ("base_offset", pl.Int64, [batch.base_offset for _, batch in batches]),
        ("last_delta", pl.Int64, [batch.last_offset - batch.base_offset for _, batch in batches]),
        (
            "base_time",
            pl.Int64,
            [b.max_timestamp if b.log_append_time else b.base_timestamp for _, b in batches],
        ),
    )
    counts = [batch.count for _, batch in batches]
    by_batch = [pl.Series(name, values, kind) for name, kind, values in columns]
    if len(counts) > 1 and sum(counts) < _WORTH_COPYING * len(counts):
        places: list[int] = []
        for place, count in enumerate(counts):
            places += [place] * count
        which = pl.Series(places)
        return [values[which] for values in by_batch]
    return [
        pl.concat(
            [values.new_from_index(at, count) for at, count in enumerate(counts)], rechunk=True
        )
        for values in by_batch
    ]


@lru_cache(maxsize=1024)
def _wrapping(plan: DecodePlan, null_key: bool, headers: int, frame: bytes) -> tuple[bytes, bytes]:
    """The header of a container file for records of one shape, and the record that ends the
    block.
    """
    fields: list[Mapping[str, Any]] = [
        {"name": "length", "type": "long"},
        {"name": "attributes", "type": "boolean"},
        {"name": "time", "type": "long"},
        {"name": "offset", "type": "long"},
        {"name": "key", "type": "long" if null_key else "bytes"},
        {"name": "value", "type": "long"},
        {"name": "frame", "type": {"type": "fixed", "name": "Frame", "size": _FRAME.size}},
        *plan.wire,
        {"name": "headers", "type": "long"},
    ]
    for number in range(headers):
        fields.append({"name": f"header_key_{number}", "type": "bytes"})
        fields.append({"name": f"header_{number}", "type": "bytes"})
    end = b"".join(
        (
            varint(0),
            b"\x00",
            varint(_END_TIME),
            varint(-1),
            varint(-1 if null_key else 0),
            varint(_FRAME.size + len(plan.zeros)),
            frame,
            plan.zeros,
            varint(headers),
            bytes(2 * headers),
        )
    )
    return container_header(fields), end
