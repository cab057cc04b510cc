"""Many listeners of GET /events in a separate process, so that their CPU is not the bench's.

Run as `python -m agents.tools.bench.listeners` with --url, --listeners and --sample. It prints a
line of JSON once all of them listen, and one with what they saw when it gets SIGTERM. Most
listeners read bytes only; those of the sample also read what the events say.
"""

import argparse
import asyncio
import json
import signal
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from schemas.errors import Fatal

__all__ = ["Ages", "run"]

_CONNECT_S = 90.0
_AT_ONCE = 100  # connections that are being opened
_TIMEOUT = aiohttp.ClientTimeout(total=None)
_HELLO = b"event: hello"


class Ages:
    """The age of every state that one listener sees, at the moment when it comes. Pure."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.greeted = False
        self._rest = b""
        self._known: dict[str, int] = {}  # by source, the `updated_at` that was seen last

    def take(self, piece: bytes, now_ms: float) -> None:
        """Bytes of the stream, as they come, at a time of the wall clock in milliseconds.

        A source that comes again without a new state, for its progress, has no age.
        """
        *events, self._rest = (self._rest + piece).split(b"\n\n")
        for event in events:
            lines = event.split(b"\n")
            self.greeted |= _HELLO in lines
            for line in lines:
                if line.startswith(b"data: "):
                    self._states(json.loads(line[6:]), now_ms)

    def _states(self, told: dict[str, Any], now_ms: float) -> None:
        for state in told.get("sources", ()):
            source, updated = state["source"], state["updated_at"]
            if self._known.get(source) != updated:
                self._known[source] = updated
                self.seconds.append((now_ms - updated) / 1000)


class _Crowd:
    """All listeners of this process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.read = 0  # bytes
        self.greeted = 0
        self.lost = 0
        self.ages: list[Ages] = []

    async def sampled(self, session: aiohttp.ClientSession) -> None:
        """One listener of the sample, until it is cancelled."""
        ages = Ages()
        self.ages.append(ages)
        try:
            async with session.get(f"{self.url}/events") as answer:
                async for piece in answer.content.iter_any():
                    self.read += len(piece)
                    before = ages.greeted
                    ages.take(piece, time.time() * 1000)
                    self.greeted += ages.greeted and not before
        except aiohttp.ClientError:
            pass  # counted as lost, as a stream that ends is
        self.lost += 1

    def told(self) -> dict[str, float]:
        """What they saw: `oldest_s` and `p99_s` are 0 if they saw no state."""
        ages = sorted(age for one in self.ages for age in one.seconds)
        return {
            "lost": self.lost,
            "read_mb": self.read / 1e6,
            "states": len(ages),
            "oldest_s": ages[-1] if ages else 0.0,
            "p99_s": ages[int(0.99 * (len(ages) - 1))] if ages else 0.0,
        }


class _Raw(asyncio.Protocol):
    """A listener that counts bytes: it costs little beside the measured worker."""

    def __init__(self, crowd: _Crowd, host: str) -> None:
        self._crowd = crowd
        self._request = f"GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._head: bytes | None = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._crowd.read += len(data)
        if self._head is not None:
            self._head += data
            if _HELLO in self._head:
                self._crowd.greeted += 1
                self._head = None

    def connection_lost(self, exc: Exception | None) -> None:
        # also when the worker drops it: then the stream ends
        self._crowd.lost += 1


async def _listen(url: str, listeners: int, sample: int) -> None:
    crowd, place = _Crowd(url), urlsplit(url)
    host, port = place.hostname, place.port
    if host is None or port is None:
        raise Fatal(f"{url} names no host with a port")
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    started = time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
        sampled = [asyncio.create_task(crowd.sampled(session)) for _ in range(sample)]
        opening = asyncio.Semaphore(_AT_ONCE)

        async def one() -> asyncio.Transport:
            async with opening:
                transport, _ = await loop.create_connection(
                    lambda: _Raw(crowd, place.netloc), host, port
                )
                return transport

        kept = await asyncio.gather(*(one() for _ in range(listeners - sample)))
        while crowd.greeted < listeners:
            if crowd.lost or time.monotonic() - started > _CONNECT_S:
                raise Fatal(
                    f"{crowd.greeted} of {listeners} listen, {crowd.lost} were refused or lost",
                    remedy="Look at the worker's log, and at the descriptors a process may have",
                )
            await asyncio.sleep(0.05)
        print(json.dumps({"connect_s": time.monotonic() - started}), flush=True)
        await stop.wait()
        print(json.dumps(crowd.told()), flush=True)
        for task in sampled:
            task.cancel()
        for transport in kept:
            transport.abort()


def run() -> None:
    """Listen as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--listeners", type=int, required=True)
    parser.add_argument("--sample", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_listen(given.url, given.listeners, min(given.sample, given.listeners)))


if __name__ == "__main__":
    run()
