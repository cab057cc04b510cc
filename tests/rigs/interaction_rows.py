"""Random interactions."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from hypothesis import strategies as st

from schemas.tables.interaction import CHANNELS, KINDS, SCHEMA

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
few = st.sampled_from("abc")
few_or_none = st.none() | few
hex_user = st.binary(min_size=12, max_size=12).map(bytes.hex)
millis = st.integers(1_700_000_000_000, 1_700_000_100_000)
far = st.integers(-(1 << 62), 1 << 62)


def frame_of(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def frames(
    user: st.SearchStrategy[str] = few,
    time: st.SearchStrategy[int] = millis,
    part: st.SearchStrategy[str | None] = few_or_none,
    max_size: int = 40,
) -> st.SearchStrategy[pl.DataFrame]:
    """Frames in which keys repeat, or, with other strategies, anything that fits."""
    rows = st.tuples(
        st.sampled_from(["campaign:a", "campaign:b", "canvas:a", "ü"]),
        user,
        st.sampled_from(KINDS),
        st.none() | st.sampled_from(CHANNELS),
        part,
        part,
        part,
        time,
        time,
    )
    return st.lists(rows, max_size=max_size).map(frame_of)
