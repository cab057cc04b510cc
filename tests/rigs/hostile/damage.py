"""Seeded damage to good values and good bytes, as by garbage, mistakes and attacks."""

from collections.abc import Mapping
from random import Random
from typing import Any

__all__ = ["bytes_of", "damaged_bytes", "damaged_object", "strange"]

TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[2J\x1b]0;owned\x07",
    "a\nb\r\nc\td",
    "=1+1",
    "@SUM(A1)",
    "‮evil‬",
    "\ud800",
    "\U0001f600" * 40,
    "ミ" * 200,
    "x" * 511,
    "x" * 513,
    "x" * 5_000,
    "../../etc/passwd",
    "campaign:",
    "campaign:campaign:a",
    "canvas:a",
    ":",
    "null",
    "NaN",
    "1e999",
    "-0",
    "{}",
    '{"filter": "received_from_campaign", "campaign": "a"}',
    "00000000000000000000000g",
)
NUMBERS = (
    0,
    -1,
    1,
    4,
    2**31,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64,
    10**40,
    1_700_000_000,
    946_684_799_999,
    253_402_300_800_000,
    1.5,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
)


def strange(rng: Random, depth: int = 0) -> Any:
    """Any value that JSON can hold, more often odd than not."""
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind <= 1:
        return rng.choice(TEXTS)
    if kind <= 3:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice((None, True, False))
    if kind == 5:
        return [strange(rng, depth + 1) for _ in range(rng.choice((0, 1, 3, 50)))]
    if kind == 6:
        return {
            rng.choice((*TEXTS[:8], "filter", "and", "campaign")): strange(rng, depth + 1)
            for _ in range(rng.randrange(4))
        }
    nested: Any = "deep"
    for _ in range(rng.choice((2, 20, 400))):
        nested = [nested] if rng.random() < 0.5 else {"and": nested}
    return nested


def damaged_object(rng: Random, good: Mapping[str, Any]) -> dict[str, Any]:
    """A few fields of `good` left out, renamed, added, or given strange values."""
    found = dict(good)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        name = rng.choice([*found, "user_id", "time", "nobody_knows"])
        match rng.randrange(5):
            case 0:
                found.pop(name, None)
            case 1:
                found[name + "s"] = found.pop(name, None)
            case _:
                found[name] = strange(rng)
    return found


def damaged_bytes(rng: Random, good: bytes) -> bytes:
    """`good` cut, lengthened, flipped, doubled, or replaced."""
    raw = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(7):
            case 0:
                del raw[at:]
            case 1:
                raw[at:at] = rng.randbytes(rng.choice((1, 4, 40)))
            case 2 if raw:
                raw[at % len(raw)] ^= 1 << rng.randrange(8)
            case 3:
                raw[at : at + 4] = b"\xff\xff\xff\xff"
            case 4:
                raw += raw[: rng.choice((1, 8, 64))]
            case 5:
                # a long of zigzag digits: the largest count or length that Avro can say
                raw[at:at] = b"\xfe" + b"\xff" * 8 + b"\x01"
            case _:
                raw = bytearray(rng.randbytes(rng.choice((0, 1, 5, 6, 200))))
    return bytes(raw)


def bytes_of(rng: Random, encoded: bytes, as_json: bytes) -> bytes:
    """Avro or JSON, damaged in half of the cases."""
    chosen = encoded if rng.random() < 0.5 else as_json
    return damaged_bytes(rng, chosen) if rng.random() < 0.5 else chosen
