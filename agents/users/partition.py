"""The shard of a few users: the same as `schemas.tables.placement`, for single names.

That module works on whole columns and takes milliseconds for one name; this one takes microseconds.
A test checks that both agree.
"""

__all__ = ["partition_of_user"]

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_MASK = 0xFFFF_FFFF


def partition_of_user(user: str, n: int) -> int:
    """The partition, of `n`, of a user: Kafka's default partitioner, murmur2."""
    return (_murmur2(user.encode()) & 0x7FFF_FFFF) % n


def _murmur2(key: bytes) -> int:
    mixed = _SEED ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _FACTOR & _MASK
        mixed = mixed * _FACTOR & _MASK ^ (word ^ word >> 24) * _FACTOR & _MASK
    if whole < len(key):
        mixed ^= int.from_bytes(key[whole:], "little")
        mixed = mixed * _FACTOR & _MASK
    mixed = (mixed ^ mixed >> 13) * _FACTOR & _MASK
    return mixed ^ mixed >> 15
