"""What rows look like on the way out: NDJSON, CSV, Parquet; and which of them is asked for."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from agents.http.problems import Problem, bad_request
from schemas.words.nearest import hint

__all__ = [
    "COLUMNS",
    "MEDIA_TYPES",
    "choose",
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
    """One JSON object a row, a line each; absent parts are null."""
    return _written(frame.select(COLUMNS).write_ndjson)


def csv(frame: pl.DataFrame) -> bytes:
    """One line a row, without the header; absent parts are empty."""
    rows = frame.select(COLUMNS)
    return rows.write_csv(include_header=False).encode()


def csv_header() -> bytes:
    """The first line of CSV."""
    return (",".join(COLUMNS) + "\n").encode()


def completion(count: int, *, complete: bool = True, **more: Any) -> bytes:
    """The last line of NDJSON: nothing is missing, unless it was not asked for."""
    return json.dumps({"complete": complete, "count": count, **more}).encode() + b"\n"


def choose(wanted: str | None, accept: str) -> str:
    """`ndjson`, `csv` or `parquet`: `?format=` before `Accept`, NDJSON where both leave it open.

    Raises Problem (400, 406).
    """
    if wanted is not None:
        if wanted not in MEDIA_TYPES:
            raise bad_request(f"format is not {wanted[:80]!r}. {hint(wanted, MEDIA_TYPES)}")
        return wanted
    for media in _by_preference(accept):
        if media in ("*/*", "application/*", "application/json"):
            return "ndjson"
        for name, own in MEDIA_TYPES.items():
            if media in (own, f"{own.partition('/')[0]}/*"):
                return name
    offered = ", ".join(MEDIA_TYPES.values())
    raise Problem("not_acceptable", f"{accept!r} allows none of {offered}")


def prefer(accept: str, offered: Sequence[str]) -> str:
    """The media type that `Accept` asks for; the first one where it leaves that open.

    Raises Problem (406).
    """
    for media in _by_preference(accept):
        for own in offered:
            if media in ("*/*", own, f"{own.partition('/')[0]}/*"):
                return own
    raise Problem("not_acceptable", f"{accept!r} allows none of {', '.join(offered)}")


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
