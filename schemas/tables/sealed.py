"""Bytes with their checksum before them, for what native readers take apart.

    mark, then BLAKE2b of 128 bits of what follows, then that

Readers of Parquet and Arrow abort the process on some damaged bytes, where no error can be
caught: so the checksum is compared before they see any. What earlier releases wrote has no mark.
"""

from hashlib import blake2b

__all__ = ["is_sealed", "sealed", "unsealed"]

_MARK = b"\xffEMB"
_DIGEST_BYTES = 16
_HEAD = len(_MARK) + _DIGEST_BYTES


def sealed(data: bytes) -> bytes:
    """`data` with its checksum."""
    return _MARK + _digest(data) + data


def is_sealed(data: bytes) -> bool:
    """Whether `sealed` made this; else nothing tells whether it is whole."""
    return data.startswith(_MARK)


def unsealed(data: bytes) -> bytes:
    """What was sealed. Raises `ValueError` where the checksum is another."""
    body = data[_HEAD:]
    if not is_sealed(data) or data[len(_MARK) : _HEAD] != _digest(body):
        raise ValueError("its checksum does not match")
    return body


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
