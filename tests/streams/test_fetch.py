"""Fetching without a group: what happens where no broker answers."""

import asyncio
import socket

import pytest

from schemas.errors import Recoverable
from streams.fetch import Fetcher
from streams.settings import Settings


async def test_no_broker_at_the_start_is_something_that_mends() -> None:
    """A broker may go between two questions of a recovery: the shard starts again, no more."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        fetcher = Fetcher(Settings(bootstrap_servers=address), {("t", 0): 0})
        async with asyncio.timeout(30):
            with pytest.raises(Recoverable, match=address):
                await fetcher.start()
            await fetcher.close()
