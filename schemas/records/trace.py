"""W3C trace context in the headers of a record: which trace its producer's work belongs to."""

import re
from collections.abc import Iterable

__all__ = ["TRACEPARENT", "header", "readable", "trace_of"]

TRACEPARENT = "traceparent"

_SHAPE = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NO_VERSION = "ff"


def readable(text: str) -> str:
    """The text, if it is a `traceparent` that can be read as one of version 00; else empty."""
    fits = _SHAPE.fullmatch(text) is not None and not text.startswith(_NO_VERSION)
    return text if fits else ""


def trace_of(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """The `traceparent` among the headers of a record; empty if there is none that can be read."""
    for name, value in headers:
        if name == TRACEPARENT:
            return readable((value or b"").decode("ascii", errors="replace"))
    return ""


def header(trace: str) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record that belongs to this trace; none if it is empty."""
    return ((TRACEPARENT, trace.encode()),) if trace else ()
