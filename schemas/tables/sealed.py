"""Bytes preceded by their checksum, for data that native readers decode.

    mark, then the checksum (BLAKE2b of 128 bits) of the data, then the data

Readers of Parquet and Arrow abort the process on some damaged bytes, and no error can be caught. So
the checksum is compared before they read any bytes. Data of earlier releases has no mark.
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
    """Whether `sealed` made these bytes; otherwise their integrity cannot be checked."""
    return data.startswith(_MARK)


def unsealed(data: bytes) -> bytes:
    """The sealed data. Raises `ValueError` if the checksum differs."""
    body = data[_HEAD:]
    if not is_sealed(data) or data[len(_MARK) : _HEAD] != _digest(body):
        raise ValueError("its checksum does not match")
    return body


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
