"""Checksums over sets of segments: sums, so that shards may be added in any order.

This module is separate from the other modules of segments, because the coordinator and small
commands need only this and should not load Polars for it.
"""

from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["EMPTY_CHECKSUM", "combine", "set_checksum"]

_MODULUS = 1 << 128
EMPTY_CHECKSUM = "0" * 32


def set_checksum(segments: Iterable[tuple[str, str]]) -> str:
    """A checksum over a multiset of (segment id, checksum), independent of order, as hex.

    The sum, modulo 2**128, of the hash of each member; the empty set has 32 zeros.
    """
    total = 0
    for segment_id, value in segments:
        digest = blake2b(f"{segment_id}|{value}".encode(), digest_size=16).digest()
        total += int.from_bytes(digest, "big")
    return f"{total % _MODULUS:032x}"


def combine(checksums: Iterable[str]) -> str:
    """The checksum of the union of the multisets that have these checksums."""
    return f"{sum(int(value, 16) for value in checksums) % _MODULUS:032x}"
