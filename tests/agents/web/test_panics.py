"""Panics of native libraries are no `Exception`; the client still gets an answer at once."""

import asyncio
from typing import Any, cast

import aiohttp
import polars as pl
import pytest

from agents.scatter import gatherer, retry
from agents.scatter.wire import END, Truncated, pack, unpack
from streams.settings import Settings
from tests.rigs.dummies import DummyShard, rows
from tests.rigs.site import A, Site, active, alone, serving, two

__all__ = ["alone"]

FILTER = {"filter": {"filter": "received_from_campaign", "campaign": "a"}}
SOON_S = 5.0


def panic() -> BaseException:
    return cast(BaseException, pl.exceptions.PanicException("index out of bounds"))


@pytest.fixture(params=["panic", "cancelled"])
def broken(request: pytest.FixtureRequest) -> BaseException:
    return panic() if request.param == "panic" else asyncio.CancelledError("somebody else's")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # a wait for the limit would take longer than the test allows
    monkeypatch.setattr(retry, "RETRY_S", 60.0)


async def test_a_page_and_a_file_are_refused_at_once(
    alone: Settings, broken: BaseException
) -> None:
    site = Site(alone, {0, 1, 2, 3}, active())
    site.shards[2].breaks = broken
    async with serving(site) as session, asyncio.timeout(SOON_S):
        url = f"{site.context.address}/audience"
        async with session.post(url, json=FILTER) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (
                500,
                "internal",
            )
        async with session.get(site.path("/interactions?format=parquet")) as answer:
            assert (await answer.json(content_type=None))["code"] == "internal"
    assert all(shard.opened == shard.closed for shard in site.shards.values())


@pytest.mark.parametrize("partition", [0, 3])
async def test_a_stream_breaks_off_at_once(
    alone: Settings, broken: BaseException, partition: int
) -> None:
    first, second = two(alone)
    (first.shards | second.shards)[partition].breaks = broken
    async with (
        asyncio.timeout(SOON_S),
        serving(first, second) as session,
        session.get(first.path()) as answer,
    ):
        assert answer.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await answer.read()


@pytest.mark.parametrize("path", ["/interactions", "/interactions?format=parquet", "/users.csv"])
async def test_a_shard_that_falls_silent_is_not_waited_for_for_ever(
    alone: Settings, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def silent(self: DummyShard, *asked: Any) -> Any:
        yield self.frames[0]
        if self.partition == 2:
            await asyncio.Event().wait()

    monkeypatch.setattr(DummyShard, "read", silent)
    monkeypatch.setattr(gatherer, "SILENCE_S", 0.1)
    site = Site(alone, {0, 1, 2, 3}, active())
    async with (
        asyncio.timeout(SOON_S),
        serving(site) as session,
        session.get(site.path(path)) as answer,
    ):
        if "parquet" in path:
            assert answer.status == 503
        else:
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
                await answer.read()


async def test_a_shard_that_cannot_be_opened_is_reported_at_once(
    alone: Settings, broken: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(self: DummyShard, *asked: Any) -> Any:
        raise broken

    monkeypatch.setattr(DummyShard, "audience", breaks)
    monkeypatch.setattr(DummyShard, "analytics", breaks)
    site = Site(alone, {0, 1, 2, 3}, active())
    async with serving(site) as session, asyncio.timeout(SOON_S):
        async with session.post(f"{site.context.address}/audience", json=FILTER) as answer:
            assert answer.status == 500
        if not isinstance(broken, asyncio.CancelledError):
            async with session.get(site.path("/analytics")) as answer:
                assert answer.status == 500


async def test_a_frame_that_is_damaged_on_its_way_is_no_answer() -> None:
    whole = pack(rows(A, *(f"u{n}" for n in range(200)))) + END
    for at in range(4, len(whole) - 4, 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        reader = asyncio.StreamReader()
        reader.feed_data(bytes(damaged))
        reader.feed_eof()
        try:
            found = [frame async for frame in unpack(reader)]
        except Truncated:
            continue
        assert len(found) == 1
