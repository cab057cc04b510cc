"""Records whose boundaries are known: mixed batches, and what no faster way could read.

Bodies of one schema id are read as one Avro block, each followed by its running number as one
more field, so that a body that is too short or too long is noticed. What remains is read one
by one.
"""

import io
import struct
from collections.abc import Sequence

import polars as pl

from schemas import codec
from schemas.batch_records import KafkaRecord
from schemas.decode_plan import (
    SYNC,
    UNREADABLE,
    Plan,
    container_header,
    event_types,
    plan,
    varint,
)
from schemas.registry import SchemaSource
from schemas.undecodable import Undecodable

__all__ = ["Failure", "decode_records"]

Failure = tuple[int, str, str]
"""Position of a record, code, detail."""

_FRAME = struct.Struct(">BI")
_NUMBER = struct.Struct("<d")
# Gives every number bytes that a body one byte too short does not read as its end.
_FRACTION = 0.1
_BAD_HALVES = 3
# Below this, one by one is as fast as a block.
_SMALL = 8


def decode_records(
    records: Sequence[KafkaRecord], event: str, source: SchemaSource, max_bytes: int
) -> tuple[pl.DataFrame, list[Failure]]:
    """Decode the values of `records`: (frame, failures).

    The frame has all the event's fields and `position` (UInt32), the place in `records`.
    Raises Recoverable where `source` cannot be asked now.
    """
    failures: list[Failure] = []
    groups: dict[int, list[int]] = {}
    singles: list[int] = []
    for position, record in enumerate(records):
        value = record.value
        if value is None:
            failures.append((position, "undecodable", "the value is null"))
        elif len(value) + len(record.key or b"") > max_bytes:
            failures.append((position, "too_large", f"{len(value)} bytes of value"))
        elif len(value) < _FRAME.size or value[0]:
            singles.append(position)
        else:
            groups.setdefault(_FRAME.unpack_from(value)[1], []).append(position)
    frames: list[pl.DataFrame] = []
    for schema_id, positions in groups.items():
        chosen = plan(event, schema_id, source)
        if chosen is None:
            singles += positions
        else:
            read, left = _blocks(records, positions, chosen)
            frames += read
            singles += left
    frame, failed = _one_by_one(records, singles, event, source)
    return pl.concat([frame, *frames]), failures + failed


def _blocks(
    records: Sequence[KafkaRecord], positions: list[int], chosen: Plan
) -> tuple[list[pl.DataFrame], list[int]]:
    """Read in blocks, halving those that fail: (frames, positions to read one by one)."""
    frames: list[pl.DataFrame] = []
    left: list[int] = []
    waiting = [positions]
    failed = 0
    while waiting:
        part = waiting.pop()
        if len(part) < _SMALL or failed >= _BAD_HALVES:
            left += part
            continue
        frame = _block(records, part, chosen)
        if frame is not None:
            frames.append(frame)
        else:
            failed += 1
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
    return frames, left


def _block(
    records: Sequence[KafkaRecord], positions: list[int], chosen: Plan
) -> pl.DataFrame | None:
    bodies: list[bytes] = []
    for number, position in enumerate(positions):
        bodies.append((records[position].value or b"")[_FRAME.size :])
        bodies.append(_NUMBER.pack(number + _FRACTION))
    payload = b"".join(bodies)
    head = container_header([*chosen.wire, {"name": "number", "type": "double"}])
    data = b"".join((head, varint(len(positions)), varint(len(payload)), payload, SYNC))
    try:
        frame = pl.read_avro(io.BytesIO(data))
        expected = pl.int_range(len(positions)).cast(pl.Float64) + _FRACTION
        if (
            frame.height != len(positions)
            or not frame.select((pl.col("number") == expected).all()).item()
        ):
            return None
        return frame.select(
            *chosen.columns.values(), pl.Series("position", positions, dtype=pl.UInt32)
        )
    # It means that these bytes are not all such records, not which: halves or the codec tell.
    except UNREADABLE:
        return None


def _one_by_one(
    records: Sequence[KafkaRecord], positions: list[int], event: str, source: SchemaSource
) -> tuple[pl.DataFrame, list[Failure]]:
    failures: list[Failure] = []
    rows: list[dict[str, object]] = []
    for position in positions:
        try:
            row = codec.decode(records[position].value or b"", event, source)
        except Undecodable as error:
            failures.append((position, error.code, error.detail))
        else:
            row["position"] = position
            rows.append(row)
    schema = {**event_types(event), "position": pl.UInt32()}
    return pl.DataFrame(rows, schema=schema, orient="row"), failures
