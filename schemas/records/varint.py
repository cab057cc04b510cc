"""Zigzag varints of 64 bits, the number format of Avro and of Kafka's record batches."""

__all__ = ["read_varint", "varint"]

_VARINT_BYTES = 10
_WHOLE = 1 << 64


def varint(value: int) -> bytes:
    """`value`, of 64 bits, as a zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The zigzag varint of 64 bits at `at`, and the position after it.

    Raises `IndexError` at the end of the data, and after more than ten bytes.
    """
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value, shift = byte & 0x7F, 7
    for place in range(at + 1, at + _VARINT_BYTES):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= _WHOLE - 1
            return (value >> 1) ^ -(value & 1), place + 1
        shift += 7
    raise IndexError("a number of more than ten bytes")
