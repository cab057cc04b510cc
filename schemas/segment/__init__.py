"""Segments: immutable blocks of interactions, sorted by source and user, kept as bytes.

Imports `schemas.tables`. Begin with `codec`.
"""

from schemas.segment.codec import CorruptSegment, checksum, decode, encode
from schemas.segment.cut import cut, cut_encoded
from schemas.segment.index import (
    EMPTY_CHECKSUM,
    SegmentIndex,
    build,
    combine,
    set_checksum,
    verified,
)

__all__ = [
    "EMPTY_CHECKSUM",
    "CorruptSegment",
    "SegmentIndex",
    "build",
    "checksum",
    "combine",
    "cut",
    "cut_encoded",
    "decode",
    "encode",
    "set_checksum",
    "verified",
]
