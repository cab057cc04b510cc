import asyncio

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.http.formats import MEDIA_TYPES, choose
from agents.http.problems import CODES, Problem
from agents.scatter.wire import END, Truncated, pack, unpack
from schemas.tables.interaction import empty
from tests.rigs.dummies import rows


async def _read(data: bytes) -> list[pl.DataFrame]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [frame async for frame in unpack(reader)]


@given(st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=4))
def test_frames_survive_the_journey(users: list[list[str]]) -> None:
    frames = [rows("campaign:a", *names) for names in users]
    data = b"".join(map(pack, frames)) + END
    found = asyncio.run(_read(data))
    assert len(found) == len(frames)
    assert all(one.equals(other) for one, other in zip(found, frames, strict=True))
    assert all(frame.schema == empty().schema for frame in found)


async def test_every_truncation_is_noticed() -> None:
    data = pack(rows("campaign:a", "u")) + END
    for length in range(len(data)):
        with pytest.raises(Truncated):
            await _read(data[:length])


async def test_another_protocol_is_noticed() -> None:
    with pytest.raises(Truncated):
        await _read(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("wanted", "accept", "format_"),
    [
        ("csv", "application/x-ndjson", "csv"),
        (None, "", "ndjson"),
        (None, "*/*", "ndjson"),
        (None, "text/html, text/csv;q=0.5", "csv"),
        (None, "text/csv;q=0.5, application/vnd.apache.parquet", "parquet"),
        (None, "TEXT/*", "csv"),
    ],
)
def test_the_format_asked_for(wanted: str | None, accept: str, format_: str) -> None:
    assert choose(wanted, accept) == format_
    assert format_ in MEDIA_TYPES


@pytest.mark.parametrize(
    ("wanted", "accept", "code"),
    [
        ("xml", "*/*", "bad_request"),
        (None, "text/html", "not_acceptable"),
        (None, "text/csv;q=0", "not_acceptable"),
        (None, "text/csv;q=often", "bad_request"),
    ],
)
def test_formats_that_are_refused(wanted: str | None, accept: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        choose(wanted, accept)
    assert caught.value.code == code
    assert code in CODES
