"""Whole record batches read as one Avro block.

Kafka's record and Avro's binary encoding write numbers and lengths alike, so a record schema
that puts the record's own fields around the event's reads a batch without any work per
record. Offset deltas, constant framing, the sum of the lengths and a record of zeros at the
very end tell whether every record was read at its place.

One leniency of Polars remains: the index of a union that is neither of its two branches is
read as the one that is not null, where schemas.codec refuses the record.
"""

import io
import struct
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl

from schemas.batch import RawBatch
from schemas.batch_records import read_varint
from schemas.decode_plan import SYNC, UNREADABLE, Plan, container_header, varint
from schemas.errors import EmberlineError

__all__ = ["Misfit", "Shape", "peek", "read_batches"]

_FRAME = struct.Struct(">bI")
_END_TIME = 0x5EA1_ED5E_A1ED
_FRAMING = ("length", "attributes", "time", "offset", "frame", "headers")


class Misfit(EmberlineError):
    """The batches cannot be read in this shape; other ways may still read them."""


class Shape(NamedTuple):
    """What all records of a batch must have in common to be read together.

    `origin` is the value of the first record's one header, where all must have the same.
    """

    schema_id: int
    null_key: bool
    headers: int
    log_append_time: bool
    origin: bytes | None

    @property
    def frame(self) -> bytes:
        """The bytes before each body."""
        return _FRAME.pack(0, self.schema_id)


def peek(batch: RawBatch, *, same_header: bool = False) -> Shape | None:
    """The shape of the batch's first record; None if it is no Avro in Confluent framing.

    With `same_header` the first record must have exactly one header, with a value.
    """
    data = batch.payload
    try:
        _, at = read_varint(data, 0)
        _, at = read_varint(data, at + 1)
        _, at = read_varint(data, at)
        key, at = read_varint(data, at)
        size, at = read_varint(data, at + max(key, 0))
        headers, after = read_varint(data, at + max(size, 0))
        origin = None
        if same_header:
            name, after = read_varint(data, after)
            value, after = read_varint(data, after + name)
            origin = data[after : after + value] if value >= 0 and headers == 1 else None
    except IndexError:
        return None
    if size < _FRAME.size or headers < 0 or (same_header and origin is None):
        return None
    magic, schema_id = _FRAME.unpack_from(data, at)
    if magic:
        return None
    return Shape(schema_id, key < 0, headers, batch.log_append_time, origin)


def read_batches(
    shape: Shape,
    plan: Plan,
    batches: Sequence[tuple[int, RawBatch]],
    columns: Collection[str],
    max_bytes: int,
) -> tuple[pl.DataFrame, int]:
    """Read batches of one shape: (frame, bytes of the longest record).

    The frame has `columns`, and `batch` (UInt32: the number that came with the batch),
    `offset` and `timestamp` (Int64). Raises `Misfit` unless every record is certainly read
    right and none is longer than `max_bytes`.
    """
    head, end = _wrapping(plan, shape.null_key, shape.headers, shape.frame)
    names = list(_FRAMING)
    names += ["key"] if shape.null_key else []
    names += ["header_0"] if shape.origin is not None else []
    names += dict.fromkeys(need for name in columns if (need := plan.needs[name]))
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
        frame = pl.read_avro(io.BytesIO(data), columns=names)
        if frame.height != count + 1 or frame.row(-1, named=True)["time"] != _END_TIME:
            raise Misfit("the records do not end where the batch ends")
        frame = frame.head(count).hstack(_per_record(batches))
        longest = _accept(frame, shape, size, max_bytes)
        time = pl.col("base_time")
        return frame.select(
            *(plan.columns[name] for name in columns),
            "batch",
            (pl.col("base_offset") + pl.col("offset")).alias("offset"),
            (time if shape.log_append_time else time + pl.col("time")).alias("timestamp"),
        ), longest
    except UNREADABLE as error:
        raise Misfit(str(error)) from error


def _accept(frame: pl.DataFrame, shape: Shape, size: int, max_bytes: int) -> int:
    """The longest record's length. Raises `Misfit` where any mark is not as it must be."""
    length, offset = pl.col("length"), pl.col("offset")
    checks = frame.select(
        framing=(
            (pl.col("headers") == shape.headers)
            & (pl.col("frame") == shape.frame)
            & ~pl.col("attributes")
        ).all(),
        order=(
            (offset <= pl.col("last_delta"))
            & (offset >= 0)
            & ((offset > offset.shift()) | (pl.col("batch") != pl.col("batch").shift()))
        ).all(),
        size=length.sum()
        + length.len()
        + sum((length >= 1 << bits).sum() for bits in (6, 13, 20, 27)),
        shortest=length.min(),
        longest=length.max(),
        keyless=(pl.col("key") == -1).all() if shape.null_key else pl.lit(True),
        origin=(pl.col("header_0") == shape.origin).all()
        if shape.origin is not None
        else pl.lit(True),
    ).row(0, named=True)
    if not (checks["framing"] and checks["order"] and checks["keyless"] and checks["origin"]):
        raise Misfit("the records differ in their framing")
    if checks["size"] != size or checks["shortest"] < 0:
        raise Misfit("the records' lengths do not add up")
    longest = int(checks["longest"])
    if longest > max_bytes:
        raise Misfit(f"a record of {longest} bytes")
    return longest


def _per_record(batches: Sequence[tuple[int, RawBatch]]) -> pl.DataFrame:
    """What each record takes from its batch, repeated for every record."""
    rows = [
        (
            number,
            batch.base_offset,
            batch.last_offset - batch.base_offset,
            batch.max_timestamp if batch.log_append_time else batch.base_timestamp,
            batch.count,
        )
        for number, batch in batches
    ]
    types: dict[str, Any] = {
        "batch": pl.UInt32,
        "base_offset": pl.Int64,
        "last_delta": pl.Int64,
        "base_time": pl.Int64,
        "count": pl.UInt32,
    }
    frame = pl.DataFrame(rows, schema=types, orient="row")
    return frame.select(pl.exclude("count").repeat_by("count").explode())


@lru_cache(maxsize=1024)
def _wrapping(plan: Plan, null_key: bool, headers: int, frame: bytes) -> tuple[bytes, bytes]:
    """The container's head for records of one shape, and the record that ends the block."""
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
