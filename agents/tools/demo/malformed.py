"""Events that a worker must reject, each with the code that it must give."""

import json
import struct
from collections.abc import Iterator
from typing import Any

from agents.tools.demo.chunk import EventChunk
from agents.tools.encoder import encoder

__all__ = ["MALFORMED", "malformed"]


def _base(user: str, time: int) -> dict[str, Any]:
    return {"id": f"bad-{user}-{time}", "user_id": user, "time": time, "campaign_id": "bad"}


def _avro(event: str, record: dict[str, Any]) -> bytes:
    return encoder(event).encode({name: [value] for name, value in record.items()})[0]


def _records(user: str, time: int) -> Iterator[tuple[str, str, bytes]]:
    """(event, code, value)"""
    good = _base(user, time)
    yield "send", "undecodable", b"\xde\xad\xbe\xef" + user.encode()
    yield "open", "undecodable", _avro("open", good)[:-9]
    yield "click", "bad_time", _avro("click", good | {"time": time // 1000})
    yield "send", "bad_time", _avro("send", good | {"time": time + 30 * 86_400_000})
    yield "click", "too_long", _avro("click", good | {"link_alias": "x" * 5_000})
    yield "variant", "two_sources", _avro("variant", good | {"canvas_id": "worse"})
    yield "conversion", "unknown_schema", struct.pack(">bI", 0, 909_090) + user.encode()
    yield "send", "bad_json", b'{"id": "bad", "user_id": '
    yield "signal", "missing_field", json.dumps({"id": "bad", "time": time}).encode()


MALFORMED = tuple(code for _, code, _ in _records("0" * 24, 1_760_000_000_000))


def malformed(users: list[str], time: int) -> Iterator[EventChunk]:
    """One chunk of one malformed event for every entry of MALFORMED; `users` are their keys."""
    for user, (event, code, value) in zip(users, _records(users[0], time), strict=False):
        yield EventChunk(event, {}, [user.encode()], [value], [user], rejected=code)
