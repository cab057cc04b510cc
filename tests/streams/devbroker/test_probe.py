"""The probe, against servers that are no broker or a faulty one."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from streams.devbroker.probe import await_answer, cluster_id


@contextmanager
def server(answer: bytes) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def text(value: bytes | None) -> bytes:
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value


def metadata(brokers: int, cluster: bytes | None) -> bytes:
    one = struct.pack(">i", 1) + text(b"127.0.0.1") + struct.pack(">i", 9092) + text(None)
    body = struct.pack(">ii", 1, brokers) + one * brokers + text(cluster)
    body += struct.pack(">ii", 1, 0)
    return struct.pack(">i", len(body)) + body


def test_a_broker_names_its_cluster() -> None:
    with server(metadata(2, b"abc")) as address:
        assert cluster_id(address) == "abc"


@pytest.mark.parametrize(
    "answer",
    [
        metadata(0, b"abc"),  # up, but fenced: it may not work yet
        metadata(1, None),
        b"",
        b"\0\0",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        struct.pack(">i", 20) + b"short",
        struct.pack(">iii", 8, 1, 1000),
    ],
)
def test_anything_else_does_not_count(answer: bytes) -> None:
    with server(answer) as address:
        assert cluster_id(address, timeout_s=1) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:1", ""])
def test_addresses_without_a_broker(address: str) -> None:
    assert cluster_id(address, timeout_s=0.5) is None


def test_one_of_several_is_enough() -> None:
    with server(metadata(1, b"abc")) as address:
        assert await_answer(f"127.0.0.1:1,{address}", 5) == "abc"


def test_waiting_ends_with_the_process() -> None:
    assert await_answer("127.0.0.1:1", 60, alive=lambda: False) is None
