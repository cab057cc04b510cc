"""Whether a Kafka broker answers, and the id of its cluster, by one handmade request.

Needs no event loop, so it works inside and outside of one.
"""

import socket
import struct
import time
from collections.abc import Callable

__all__ = ["await_answer", "cluster_id"]

# Metadata version 2 for no topics. Layout, big-endian: api key i16, version i16,
# correlation id i32, client id (length i16, bytes), number of topics i32
_CLIENT = b"emberline-probe"
_REQUEST = struct.pack(">hhih", 3, 2, 1, len(_CLIENT)) + _CLIENT + struct.pack(">i", 0)
_LARGEST_ANSWER = 1 << 20
_POLL_S = 0.05


def cluster_id(address: str, timeout_s: float = 2.0) -> str | None:
    """Id of the cluster behind `host:port`; None where no broker answers that is ready to work.

    A broker that has started but may not work yet (fenced) does not count as ready.
    """
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(_REQUEST)) + _REQUEST)
            (length,) = struct.unpack(">i", _exactly(connection, 4))
            if not 8 <= length <= _LARGEST_ANSWER:
                return None
            return _parse(_exactly(connection, length))
    except (OSError, struct.error, ValueError):
        return None  # nothing there, or not Kafka: both mean that no broker answers


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("closed before the answer was complete")
        data += part
    return data


def _parse(answer: bytes) -> str | None:
    # correlation id i32, brokers [id i32, host string, port i32, rack string or null], cluster id
    (brokers,) = struct.unpack_from(">i", answer, 4)
    position = 8
    for _ in range(brokers):
        _, position = _string(answer, position + 4)
        _, position = _string(answer, position + 4)
    found, _ = _string(answer, position)
    return found if brokers > 0 else None


def _string(data: bytes, position: int) -> tuple[str | None, int]:
    (length,) = struct.unpack_from(">h", data, position)
    start = position + 2
    if length < 0:
        return None, start
    return data[start : start + length].decode(), start + length


def await_answer(
    servers: str, deadline_s: float, alive: Callable[[], bool] = lambda: True
) -> str | None:
    """Ask the servers (commas between) until one answers, `alive` fails or the time is over."""
    end = time.monotonic() + deadline_s
    while True:
        for address in servers.split(","):
            found = cluster_id(address)
            if found is not None:
                return found
        if not alive() or time.monotonic() >= end:
            return None
        time.sleep(_POLL_S)
