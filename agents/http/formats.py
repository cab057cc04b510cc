"""The formats of rows: NDJSON, CSV, Parquet; and the choice among them."""

import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import polars as pl

from agents.http.problems import Problem, bad_request
from schemas.words.nearest import hint

__all__ = [
    "COLUMNS",
    "MEDIA_TYPES",
    "choose",
    "choose_of",
    "completion",
    "csv",
    "csv_header",
    "ndjson",
    "prefer",
]

COLUMNS = ("source", "user", "kind", "channel", "step", "variation", "detail", "first", "last")
"""Fields of a row, in the order in which they are written."""

MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


def ndjson(frame: pl.DataFrame) -> bytes:
    """One JSON object for each row, one on each line; missing parts are null."""
    return _written(frame.select(COLUMNS).write_ndjson)


def csv(frame: pl.DataFrame) -> bytes:
    """One line for each row, without the header; missing parts are empty."""
    rows = frame.select(COLUMNS)
    return rows.write_csv(include_header=False).encode()


def csv_header() -> bytes:
    """The first line of CSV."""
    return (",".join(COLUMNS) + "\n").encode()


def completion(count: int, *, complete: bool = True, **more: Any) -> bytes:
    """The last line of NDJSON, which says that the answer is complete, apart from what was excluded
    on request.
    """
    return json.dumps({"complete": complete, "count": count, **more}).encode() + b"\n"


def choose(wanted: str | None, accept: str) -> str:
    """`ndjson`, `csv` or `parquet`: `?format=` takes precedence over `Accept`; NDJSON if both allow
    it.

    Raises Problem (400, 406).
    """
    if wanted is not None:
        return _known(wanted, MEDIA_TYPES)
    for media in _by_preference(accept):
        if media in ("*/*", "application/*", "application/json"):
            return "ndjson"
        for name, own in MEDIA_TYPES.items():
            if media in (own, f"{own.partition('/')[0]}/*"):
                return name
    offered = ", ".join(MEDIA_TYPES.values())
    raise Problem("not_acceptable", f"{accept!r} allows none of {offered}")


def choose_of(wanted: str | None, accept: str, offered: Mapping[str, str]) -> str:
    """One of these formats, given with their media types: `?format=` takes precedence over
    `Accept`; the first if it has no preference. Raises Problem (400, 406).
    """
    if wanted is not None:
        return _known(wanted, offered)
    media = prefer(accept, list(offered.values()))
    return next(name for name, own in offered.items() if own == media)


def prefer(accept: str, offered: Sequence[str]) -> str:
    """The media type that `Accept` prefers; the first one if it has no preference.

    Raises Problem (406).
    """
    for media in _by_preference(accept):
        for own in offered:
            if media in ("*/*", own, f"{own.partition('/')[0]}/*"):
                return own
    raise Problem("not_acceptable", f"{accept!r} allows none of {', '.join(offered)}")


def _known(wanted: str, offered: Collection[str]) -> str:
    if wanted not in offered:
        raise bad_request(f"format is not {wanted[:80]!r}. {hint(wanted, offered)}")
    return wanted


def _by_preference(accept: str) -> list[str]:
    weighed = []
    for part in (accept or "*/*").split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            weighed.append((-float(weight), media.lower()))
        except ValueError as error:
            raise bad_request(f"Accept has the weight {weight!r}, which is no number") from error
    return [media for weight, media in sorted(weighed, key=lambda item: item[0]) if weight < 0]


def _written(write: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()
