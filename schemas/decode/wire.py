"""The header of a record batch, format v2; schemas.decode.batch describes its fields."""

import struct

__all__ = ["HEADER", "LENGTH_END"]

HEADER = struct.Struct(">qiibIhiqqqhii")
LENGTH_END = 12
"""Where the field `length` ends: it counts what follows."""
