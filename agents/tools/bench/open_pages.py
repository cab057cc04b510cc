"""Many open pages in a separate process, so that their CPU is not the bench's: for each the stream
that a page keeps, and the reads that its reader causes.

Run as `python -m agents.tools.bench.open_pages` with --url, --pages and --every. It prints a line
of JSON once all of them have their first list, and one with what they saw when it gets SIGTERM.
"""

import argparse
import asyncio
import json
import signal
import time
from urllib.parse import quote

import aiohttp

from agents.tools.bench.listeners import Ages
from schemas.errors import Fatal
from streams.ending import end_all

__all__ = ["run"]

_CONNECT_S = 90.0
_AT_ONCE = 20  # pages that are being opened
_LIST = "/sources?limit=50"
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30)


class _Browsers:
    """All pages of this process."""

    def __init__(self, session: aiohttp.ClientSession, every_s: float) -> None:
        self.session = session
        self.every_s = every_s
        self.open = 0
        self.lost = 0
        self.failed = 0
        self.read_mb = 0.0
        self.lists: list[float] = []  # seconds of each list
        self.ages: list[Ages] = []
        self._opening = asyncio.Semaphore(_AT_ONCE)

    async def page(self, number: int) -> None:
        """One page, until it is cancelled: it reads in turn the list, a source and its figures."""
        async with self._opening:
            await self._read("/session")
            sources = await self._list()
            stream = asyncio.create_task(self._stream())
            self.open += 1
        loop = asyncio.get_running_loop()
        # the pages of one office are not read at the same moments
        at = loop.time() + self.every_s * (number % 97) / 97
        turn = number
        try:
            while True:
                await asyncio.sleep(max(0.0, at - loop.time()))
                at += self.every_s
                turn += 1
                if turn % 3 == 0 or not sources:
                    sources = await self._list()
                    continue
                path = f"/sources/{quote(sources[turn % len(sources)], safe='')}"
                await self._read(path if turn % 3 == 1 else f"{path}/analytics")
        finally:
            stream.cancel()

    async def _list(self) -> list[str]:
        begin = time.monotonic()
        found = json.loads(await self._read(_LIST) or b"{}")
        self.lists.append(time.monotonic() - begin)
        return [one["source"] for one in found.get("sources", ())]

    async def _read(self, path: str) -> bytes:
        try:
            async with self.session.get(path) as answer:
                body = await answer.read()
        except aiohttp.ClientError:
            self.failed += 1
            return b""
        self.failed += answer.status != 200
        self.read_mb += len(body) / 1e6
        return body if answer.status == 200 else b""

    async def _stream(self) -> None:
        ages = Ages()
        self.ages.append(ages)
        try:
            async with self.session.get("/events?beat=1") as answer:
                async for piece in answer.content.iter_any():
                    self.read_mb += len(piece) / 1e6
                    ages.take(piece, time.time() * 1000)
        except aiohttp.ClientError:
            pass  # counted as lost, as a stream that ends is
        self.lost += 1

    def told(self) -> dict[str, float]:
        """What they saw: ages of states and times of lists in seconds; 0 without any."""
        ages = sorted(age for one in self.ages for age in one.seconds)
        lists = sorted(self.lists)
        return {
            "lost": self.lost,
            "failed": self.failed,
            "read_mb": self.read_mb,
            "states": len(ages),
            "oldest_s": ages[-1] if ages else 0.0,
            "lists": len(lists),
            "list_p95_s": lists[int(0.95 * (len(lists) - 1))] if lists else 0.0,
        }


async def _browse(url: str, pages: int, every_s: float) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    started = time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=_TIMEOUT, connector=connector) as session:
        browsers = _Browsers(session, every_s)
        tasks = [asyncio.create_task(browsers.page(number)) for number in range(pages)]
        while browsers.open < pages:
            if time.monotonic() - started > _CONNECT_S:
                raise Fatal(f"{browsers.open} of {pages} pages are open, {browsers.failed} failed")
            await asyncio.sleep(0.05)
        print(json.dumps({"connect_s": time.monotonic() - started}), flush=True)
        await stop.wait()
        print(json.dumps(browsers.told()), flush=True)
        await end_all(tasks)


def run() -> None:
    """Read as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    given = parser.parse_args()
    asyncio.run(_browse(given.url, given.pages, given.every))


if __name__ == "__main__":
    run()
