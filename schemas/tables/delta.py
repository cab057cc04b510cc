"""The bytes of a frame in a delta: fast to write and read, because a delta is soon folded.

Four bytes for the number of rows, then the rows: few rows as one Arrow IPC stream, whose fixed cost
is a quarter of Parquet's; many rows as Parquet, which is smaller. Both contain the column types.
The bytes are sealed (schemas.tables.sealed); earlier releases did not seal them.
"""

import io
import struct

import polars as pl

from schemas.errors import CorruptSegment
from schemas.tables.sealed import is_sealed, sealed, unsealed
from schemas.tables.view import FEW

__all__ = ["decode", "encode", "height"]

_ROWS = struct.Struct(">I")
_PARQUET = b"PAR1"
_STREAM = b"\xff\xff\xff\xff"


def encode(frame: pl.DataFrame) -> bytes:
    """A frame as bytes."""
    buffer = io.BytesIO()
    buffer.write(_ROWS.pack(frame.height))
    if frame.height < FEW:
        # without string views: half of the bytes, and no more work
        frame.rechunk().write_ipc_stream(
            buffer, compression="zstd", compat_level=pl.CompatLevel.oldest()
        )
    else:
        frame.write_parquet(buffer, compression="lz4", statistics=False)
    return sealed(buffer.getvalue())


def decode(data: bytes, schema: pl.Schema) -> pl.DataFrame:
    """The frame of bytes that `encode` wrote. Raises `CorruptSegment` if they are no frame in
    `schema`.
    """
    try:
        whole = unsealed(data) if is_sealed(data) else data
        (rows,) = _ROWS.unpack_from(whole)
        stored = whole[_ROWS.size :]
        if not stored.startswith((_PARQUET, _STREAM)):
            raise ValueError("it is neither Parquet nor an Arrow stream")
        if stored.startswith(_PARQUET):
            frame = pl.read_parquet(io.BytesIO(stored), use_statistics=False)
        else:
            frame = pl.read_ipc_stream(io.BytesIO(stored))
    # A panic of Polars derives from BaseException alone.
    except (Exception, pl.exceptions.PanicException) as error:
        raise _corrupt(len(data), str(error)) from error
    # A stream that is cut off between two of its parts reads as a shorter one.
    if frame.height != rows:
        raise _corrupt(len(data), f"{frame.height} rows of {rows}")
    if frame.schema != schema:
        raise _corrupt(len(data), f"unexpected columns {frame.schema}")
    return frame


def height(data: bytes) -> int | None:
    """The rows of what `encode` wrote, without reading them; None where its bytes are not sealed,
    so that only reading tells. Raises `CorruptSegment` where they are not what was sealed."""
    if not is_sealed(data):
        return None
    try:
        (rows,) = _ROWS.unpack_from(unsealed(data))
    except (ValueError, struct.error) as error:
        raise _corrupt(len(data), str(error)) from error
    return int(rows)


def _corrupt(size: int, why: str) -> CorruptSegment:
    return CorruptSegment(
        f"a delta of {size} bytes cannot be decoded: {why}",
        remedy="restore the record from a replica or a backup of its topic",
    )
