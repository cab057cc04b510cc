"""Splits a value into pieces, so that each entry fits into one record, whatever the value's size.

If there are several pieces, the first begins with `+` and the number of pieces (u32, big-endian).
"""

import struct

__all__ = ["body", "count", "headed"]

_HEAD = struct.Struct(">cI")
_MARK = b"+"
MOST = 1 << 16
"""Pieces of a value: more would be tens of gigabytes."""


def headed(first: bytes, count: int) -> bytes:
    """The first piece as it is stored. `first` must not begin with `+`."""
    return first if count == 1 else _HEAD.pack(_MARK, count) + first


def count(stored: bytes) -> int:
    """How many pieces there are, by the first of them. Raises ValueError for no number of pieces,
    or one that no value has."""
    if not stored.startswith(_MARK):
        return 1
    if len(stored) < _HEAD.size or not 0 < (found := int(_HEAD.unpack_from(stored)[1])) <= MOST:
        raise ValueError("it does not say of how many pieces it is the first")
    return found


def body(stored: bytes) -> bytes:
    """The first piece itself."""
    return stored[_HEAD.size :] if stored.startswith(_MARK) else stored
