"""When the certificates of a PEM file end. Pure: bytes in, times out.

Read from the certificates themselves, and not from a connection: so that the end of one that has
ended, whose key is elsewhere, or that only its authority would accept is known too. Nothing here
says that a certificate is right; whoever connects with it checks that.

Of a certificate (RFC 5280), DER, only what lies before the end is looked at:

    Certificate { TBSCertificate { [0] version?, serial number, algorithm, issuer,
                                   Validity { not before, not after }, ... } ... }
"""

import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from schemas.errors import UsageError

__all__ = ["certificate_ends"]

_BLOCK = re.compile(
    rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]{1,1000000}?)-----END "
)
_SEQUENCE, _VERSION, _UTC_TIME, _TIME = 0x30, 0xA0, 0x17, 0x18
_LONG = 0x80
_MOST_LENGTH_BYTES = 4


def certificate_ends(content: bytes) -> list[int]:
    """The end of each certificate of the file, in its order, UTC milliseconds.

    Raises UsageError if there is no certificate, or one that cannot be read.
    """
    found = [_end_of(_der(block[1])) for block in _BLOCK.finditer(content)]
    if not found:
        raise UsageError("there is no certificate")
    return found


def _der(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=False)
    except binascii.Error as error:
        raise UsageError("it is no PEM file") from error


def _end_of(certificate: bytes) -> int:
    to_be_signed = _inside(_inside(certificate, _SEQUENCE), _SEQUENCE)
    parts = _elements(to_be_signed)
    tag, _ = _next(parts)
    # serial number, algorithm, issuer; where a version is written it stands before them
    for _ in range(3 if tag == _VERSION else 2):
        _next(parts)
    tag, validity = _next(parts)
    if tag != _SEQUENCE:
        raise _damaged()
    times = _elements(validity)
    _next(times)
    return _time(*_next(times))


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element, as far as they are asked for."""
    at = 0
    while at < len(content):
        if at + 2 > len(content):
            raise _damaged()
        tag, length, at = content[at], content[at + 1], at + 2
        if length >= _LONG:
            count = length - _LONG
            if not 0 < count <= _MOST_LENGTH_BYTES:
                raise _damaged()
            length, at = int.from_bytes(content[at : at + count]), at + count
        if at + length > len(content):
            raise _damaged()
        yield tag, content[at : at + length]
        at += length


def _next(elements: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    found = next(elements, None)
    if found is None:
        raise _damaged()
    return found


def _inside(content: bytes, tag: int) -> bytes:
    found, inside = _next(_elements(content))
    if found != tag:
        raise _damaged()
    return inside


def _time(tag: int, content: bytes) -> int:
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME and len(text) == len("YYMMDDHHMMSSZ"):
        # RFC 5280: 50 and more is of the last century
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    elif tag != _TIME:
        raise _damaged()
    try:
        found = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise _damaged() from error
    return int(found.timestamp() * 1000)


def _damaged() -> UsageError:
    return UsageError("it has a damaged certificate")
