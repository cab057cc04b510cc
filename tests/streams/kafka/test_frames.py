"""Frames come whole and in order, however the bytes are cut, and a wrong length harms nobody."""

import asyncio
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.frames import Frames


def framed(*frames: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)


def feed(frames: Frames, data: bytes, most: int) -> None:
    """As a transport does: at most so many bytes at a time, into the room that is offered."""
    while data:
        room = frames.get_buffer(-1)
        assert len(room), "a transport takes no room for an error"
        count = min(most, len(room), len(data))
        room[:count] = data[:count]
        frames.buffer_updated(count)
        data = data[count:]


async def taken(data: bytes, most: int) -> list[bytes]:
    found: list[bytes] = []
    feed(Frames(lambda frame: found.append(bytes(frame))), data, most)
    return found


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 50))
def test_frames_come_whole_and_in_order(frames: list[bytes], most: int) -> None:
    assert asyncio.run(taken(framed(*frames), most)) == frames


async def test_only_what_has_come_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.kafka.frames._FIRST_BYTES", 8)
    found: list[bytes] = []
    frames = Frames(lambda frame: found.append(bytes(frame)))
    feed(frames, struct.pack(">i", 2**31 - 1), 4)
    assert len(frames.get_buffer(-1)) == 8
    feed(frames, bytes(20), 100)
    assert len(frames.get_buffer(-1)) == 12
    whole = bytes(range(100))
    assert await taken(framed(whole, b"next"), 7) == [whole, b"next"]
    assert found == []


async def test_a_frame_that_cannot_be_used_ends_the_connection() -> None:
    def refuse(frame: bytearray) -> None:
        found.append(bytes(frame))
        raise LookupError("nobody has asked")

    found: list[bytes] = []
    frames = Frames(refuse)
    feed(frames, framed(b"one", b"two"), 5)
    assert found == [b"one"]
    with pytest.raises(LookupError, match="nobody has asked"):
        await frames.ended


async def test_a_negative_length_ends_the_connection() -> None:
    frames = Frames(lambda frame: None)
    feed(frames, struct.pack(">i", -1) + framed(b"one"), 100)
    with pytest.raises(ValueError, match="-1 bytes"):
        await frames.ended


async def connected(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
) -> tuple[Frames, list[bytes]]:
    """Frames that a server of this process sends over a socket, until it closes."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serve(reader, writer)
        writer.close()

    found: list[bytes] = []
    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        _, frames = await asyncio.get_running_loop().create_connection(
            lambda: Frames(lambda frame: found.append(bytes(frame))),
            *server.sockets[0].getsockname(),
        )
        async with asyncio.timeout(10):
            await frames.closed
    return frames, found


async def test_a_connection_that_the_other_end_closes_says_how_much_was_missing() -> None:
    large = bytes(range(256)) * 8_000
    frames, found = await connected(
        lambda _, writer: writer.write(framed(large, b"whole") + struct.pack(">i", 9) + b"part")
    )
    assert found == [large, b"whole"]
    assert frames.at_eof()
    with pytest.raises(asyncio.IncompleteReadError) as error:
        await frames.ended
    assert (error.value.partial, error.value.expected) == (b"part", 9)
    with pytest.raises(ConnectionResetError):
        frames.write(b"more")
    await frames.drain()


async def test_what_comes_after_the_end_is_for_nobody() -> None:
    found: list[bytes] = []
    frames = Frames(lambda frame: found.append(bytes(frame)))
    frames.ended.cancel()
    feed(frames, framed(b"one", bytes(1_000)), 3)
    frames.connection_lost(None)
    assert found == []
