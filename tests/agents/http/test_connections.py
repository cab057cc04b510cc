"""Limits of connections: in total, of one address, and in time without a request."""

import asyncio
import contextlib
import gzip
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from agents.http import body, connections, problems
from agents.http.connections import ConnectionLimits
from tests.rigs.dummies import DummyShard, rows, until
from tests.rigs.site import JSON, SHARDS, A, Site, active, raw, serving, settings

HALF = b"GET /sources HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
ANSWER_S = 5.0


@asynccontextmanager
async def half_sent(
    site: Site, count: int, sent: bytes = HALF, source: str = "127.0.0.1"
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Connections whose requests are begun and never ended."""
    host, port = site.context.address.removeprefix("http://").split(":")
    opened = []
    try:
        for _ in range(count):
            pair = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
            pair[1].write(sent)
            opened.append(pair)
        yield opened
    finally:
        for _, writer in opened:
            writer.close()
        ends = (writer.wait_closed() for _, writer in opened)
        await asyncio.gather(*ends, return_exceptions=True)


def held(opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> int:
    """How many of them the server has not closed."""
    return sum(not reader.at_eof() and reader.exception() is None for reader, _ in opened)


@pytest.mark.parametrize("more", [{"http_connections": 40}, {"http_connections_by_address": 40}])
async def test_239_half_sent_requests_keep_no_client_out(
    tmp_path: Path, more: dict[str, int]
) -> None:
    site = Site(settings(tmp_path, **more), set(range(SHARDS)), active())
    most = ConnectionLimits.of(site.context.settings)
    bound = min(most.total, most.by_address)
    assert bound <= 40
    async with serving(site), half_sent(site, 239) as opened:
        for _ in range(5):
            async with asyncio.timeout(ANSWER_S):
                status, _ = await raw(site, "GET /sources HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            assert status == 200
        await until(lambda: held(opened) <= bound, ANSWER_S)


SERVER = """
import asyncio, resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from agents.http.connections import raise_descriptors
from tests.rigs.site import SHARDS, Site, active, serving, settings


async def main() -> None:
    raise_descriptors()
    site = Site(settings(Path(sys.argv[1])), set(range(SHARDS)), active())
    async with serving(site):
        print(site.context.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
"""


async def test_a_burst_does_not_use_up_the_descriptors(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(tmp_path), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    try:
        async with asyncio.timeout(60):
            address = (await child.stdout.readline()).decode().strip()
            site = cast(Site, SimpleNamespace(context=SimpleNamespace(address=address)))
            # what has come while it could not look is there all at once
            os.kill(child.pid, signal.SIGSTOP)
            async with half_sent(site, 120), contextlib.AsyncExitStack() as begun:
                os.kill(child.pid, signal.SIGCONT)
                await begun.enter_async_context(half_sent(site, 119))
                status, _ = await raw(site, "GET /sources HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                assert status == 200
                left = len(await asyncio.to_thread(os.listdir, f"/proc/{child.pid}/fd"))
                assert left < 100
            _, said = await child.communicate(b"")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert b"resource" not in said
    assert child.returncode == 0


async def test_a_request_that_is_being_answered_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, going = asyncio.Event(), asyncio.Event()

    async def slow(self: DummyShard, source: str) -> Any:
        begun.set()
        await going.wait()
        return self.figures

    monkeypatch.setattr(DummyShard, "analytics", slow)
    site = Site(settings(tmp_path, http_connections=10), set(range(SHARDS)), active())
    async with serving(site) as session:
        asking = asyncio.create_task(_status(session, site.path("/analytics")))
        await begun.wait()
        async with half_sent(site, 50) as opened:
            await until(lambda: held(opened) <= 10, ANSWER_S)
            going.set()
            assert await asking == 200


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        await answer.read()
        return answer.status


async def test_one_address_does_not_keep_out_another(tmp_path: Path) -> None:
    more = {"http_connections": 12, "http_connections_by_address": 8}
    site = Site(settings(tmp_path, **more), set(range(SHARDS)), active())
    async with (
        serving(site),
        half_sent(site, 3, source="127.0.0.2") as theirs,
        half_sent(site, 100) as mine,
    ):
        await until(lambda: held(mine) <= 8, ANSWER_S)
        assert held(theirs) == 3


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HALF,
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + HALF,
    ],
)
async def test_without_a_whole_request_a_connection_ends(tmp_path: Path, sent: bytes) -> None:
    site = Site(settings(tmp_path, http_idle="PT0.2S"), set(range(SHARDS)), active())
    async with serving(site), half_sent(site, 5, sent) as opened, asyncio.timeout(ANSWER_S):
        for reader, _ in opened:
            await reader.read()


async def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_S", 0.1)
    monkeypatch.setattr(connections, "LINGER_S", 0.1)
    site = Site(settings(tmp_path), set(range(SHARDS)), active())
    head = "POST /audience HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    async with serving(site), asyncio.timeout(ANSWER_S):
        status, problem = await raw(site, f"{head}Content-Length: 100\r\n\r\n{{")
        assert (status, problem["code"]) == (408, "body_timeout")


async def test_an_answer_that_no_client_reads_is_aborted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(problems, "SEND_S", 0.1)
    site = Site(settings(tmp_path), set(range(SHARDS)), active())
    for shard in site.shards.values():
        shard.frames = [rows(A, *(f"{'u' * 400}{n}-{shard.partition}" for n in range(20_000)))]
    filter_ = b'{"filter": {"filter": "received_from_campaign", "campaign": "a"}, "limit": 80000}'
    head = b"POST /audience HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    sent = head + b"Content-Length: %d\r\n\r\n" % len(filter_) + filter_
    caplog.set_level("INFO", "agents.http.problems")
    async with serving(site), half_sent(site, 1, sent) as opened, asyncio.timeout(30):
        await until(lambda: "the answer is not read" in caplog.text)
        got = b""
        with contextlib.suppress(ConnectionError):
            got = await opened[0][0].read()
        assert len(got) < 400 * 80_000


@pytest.mark.parametrize("expect", [b"\xff\xfe\xe4", b"200-ok"])
async def test_what_cannot_be_expected_is_refused_and_not_repeated(
    tmp_path: Path, expect: bytes
) -> None:
    site = Site(settings(tmp_path), set(range(SHARDS)), active())
    sent = HALF.replace(b"X-Slow: ", b"Connection: close\r\nExpect: " + expect + b"\r\n\r\n")
    async with serving(site), half_sent(site, 1, sent) as opened, asyncio.timeout(ANSWER_S):
        answer = await opened[0][0].read()
    assert answer.startswith(b"HTTP/1.1 417")
    assert expect not in answer


async def test_a_body_does_not_unpack_itself(tmp_path: Path) -> None:
    site = Site(settings(tmp_path), set(range(SHARDS)), active())
    async with serving(site) as session:
        headers = {**JSON, "Content-Encoding": "gzip"}
        url = f"{site.context.address}/audience"
        async with session.post(url, data=gzip.compress(b" " * 900_000), headers=headers) as answer:
            assert answer.status == 415


def test_half_of_the_descriptors_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(descriptors: int, **more: Any) -> tuple[int, int]:
        monkeypatch.setattr(resource, "getrlimit", lambda which: (descriptors, descriptors))
        found = ConnectionLimits.of(settings(tmp_path, **more))
        return found.total, found.by_address

    assert limits(65_536) == (512, 200)
    assert limits(256) == (128, 96)
    assert limits(65_536, http_connections=50_000, http_connections_by_address=50_000) == (
        32_768,
        24_576,
    )
    assert limits(4) == (8, 8)


def test_more_descriptors_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: taken.append(limits))
    for soft, hard in ((256, 4_096), (256, resource.RLIM_INFINITY), (100_000, 200_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, found=(soft, hard): found)
        connections.raise_descriptors()
    assert taken == [(4_096, 4_096), (65_536, resource.RLIM_INFINITY)]
