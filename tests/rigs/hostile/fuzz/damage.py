"""Hypothesis strategies that damage good bytes and good JSON, and shrink to the least damage."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

__all__ = ["broken_json", "broken_text", "damaged", "values"]

_WORDS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\xff" * 7 + b"\x7f",
)
"""Lengths and counts of both byte orders that no honest writer has."""
_NUMBERS = (
    b"\xfe" + b"\xff" * 8 + b"\x01",  # the largest varint
    b"\xff" * 9 + b"\x01",  # the least
    b"\x80" * 9 + b"\x00",  # 0 in ten bytes
    b"\xff" * 12,
    b"\x01",  # -1
    b"\xfe\xff\xff\xff\x0f",  # 2^31 - 1
)
_TEXTS = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x00", b"\xf4\x90\x80\x80", b"../", b"{", b"[")
_BYTES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
_MOST = 400_000


@st.composite
def damaged(draw: st.DrawFn, good: Sequence[bytes], most: int = 4) -> bytes:
    """One of `good` with at most `most` changes: cut, lengthened, flipped, spliced, repeated, or
    with lengths and numbers that are giant."""
    raw = bytearray(draw(st.sampled_from(good)))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(raw)))
        match draw(st.integers(0, 9)):
            case 0:
                del raw[at:]
            case 1:
                del raw[at : at + draw(st.integers(1, 16))]
            case 2:
                raw[at:at] = draw(st.binary(min_size=1, max_size=12))
            case 3 if raw:
                raw[at % len(raw)] ^= 1 << draw(st.integers(0, 7))
            case 4:
                word = draw(st.sampled_from(_WORDS))
                raw[at : at + len(word)] = word
            case 5:
                raw[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from(_NUMBERS))
            case 6:
                part = raw[at : at + draw(st.integers(1, 40))]
                times = min(draw(st.sampled_from((1, 2, 50, 2_000))), _MOST // max(1, len(part)))
                raw[at:at] = part * times
            case 7:
                other = draw(st.sampled_from(good))
                raw[at:] = other[draw(st.integers(0, len(other))) :]
            case 8:
                raw[at : at + 1] = bytes((draw(st.sampled_from(_BYTES)),))
            case _:
                raw[at:at] = draw(st.sampled_from(_TEXTS))
        del raw[_MOST:]
    return bytes(raw)


_LITERALS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1e308",
    "-0",
    "9" * 5_000,
    "9223372036854775808",
    "18446744073709551616",
    "1.5",
    '"\\ud800"',
    '"\\udfff\\ud800"',
    '"\\u0000"',
    "null",
    "true",
    '""',
    "[]",
    "{}",
    '{"a":1,"a":2}',
    "[" * 60_000,
    "[" * 1_500 + "]" * 1_500,
    '{"a":' * 1_500 + "1" + "}" * 1_500,
)
"""JSON values that a reader may mistake, not all of them valid."""


@st.composite
def broken_json(draw: st.DrawFn, good: Sequence[Any]) -> bytes:
    """The JSON of one of `good`, in which values are strange, members occur twice, and a few bytes
    are damaged."""
    content = _strange(draw, draw(st.sampled_from(good)))
    text = _text(draw, content)
    raw = text.encode("utf-8", "surrogatepass")
    return draw(damaged([raw], 2)) if draw(st.booleans()) else raw


def broken_text(good: Sequence[Any]) -> st.SearchStrategy[str]:
    """The same as text."""
    return broken_json(good).map(lambda raw: raw.decode(errors="replace"))


class _Literal(str):
    """JSON that is written as it is."""


def _strange(draw: st.DrawFn, content: Any) -> Any:
    """The value with a few of its parts replaced, at any depth."""
    if draw(st.integers(0, 9)) == 0:
        return draw(values())
    if isinstance(content, dict):
        found = {name: _strange(draw, one) for name, one in content.items()}
        match draw(st.integers(0, 7)):
            case 0 if found:
                del found[draw(st.sampled_from(sorted(found)))]
            case 1:
                found[draw(st.sampled_from(("x", "", "\0", "__class__", *sorted(found))))] = draw(
                    values()
                )
        return found
    if isinstance(content, list | tuple):
        found_list = [_strange(draw, one) for one in content]
        if found_list and draw(st.integers(0, 7)) == 0:
            found_list *= draw(st.sampled_from((0, 2, 300)))
        return found_list
    return content


def values() -> st.SearchStrategy[Any]:
    """Values of JSON, more often odd than not."""
    return st.one_of(
        st.sampled_from(_LITERALS).map(_Literal),
        st.integers(-(2**66), 2**66),
        st.text(max_size=6),
        st.sampled_from(("campaign:a", "canvas:", "x" * 600, "../../x", "1", "2026-01-01")),
        st.lists(st.integers(-2, 2), max_size=3),
        st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2),
    )


def _text(draw: st.DrawFn, content: Any) -> str:
    if isinstance(content, _Literal):
        return str(content)
    if isinstance(content, dict):
        members = [f"{json.dumps(name)}:{_text(draw, one)}" for name, one in content.items()]
        if members and draw(st.integers(0, 19)) == 0:
            members.append(draw(st.sampled_from(members)))
        return "{" + ",".join(members) + "}"
    if isinstance(content, list | tuple):
        return "[" + ",".join(_text(draw, one) for one in content) + "]"
    return json.dumps(content, ensure_ascii=draw(st.booleans()))
