"""The same bytes have the same result on every path.

A record is read with its whole batch, in a group, or alone; its batch has only this record, good
records or bad records; it reaches its user's shard directly or is forwarded. For every field and
every kind of damage there is one result: its rows, or its reject, with the producer's topic,
partition, offset, key and bytes.
"""

import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decode.forward import Forward
from schemas.decode.ingest import Ingested, ingest
from schemas.records import registry
from schemas.records.varint import varint
from schemas.tables.projection import VIEWS
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch

N = 4
FROM = 700
HUGE = b"\xfe" + b"\xff" * 8 + b"\x01"
TEXT_DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "no UTF-8": lambda text: varint(2) + b"\xff\xfe",
    "empty": lambda text: varint(0),
    "long": lambda text: varint(600) + b"x" * 600,
    "cut": lambda text: varint(len(text) + 9_000) + text,
    "huge": lambda text: HUGE + text,
    "negative": lambda text: varint(-3) + text,
    "endless": lambda text: b"\x80" * 30 + text,
    "written longer than it needs": lambda text: (
        bytes((len(text) << 1 & 0x7F | 0x80, 0x80, 0)) + text
    ),
}
NUMBER_DAMAGE: Mapping[str, bytes] = {
    "negative": varint(-1),
    "seconds": varint(NOW // 1000),
    "far": varint(NOW + 3 * 86_400_000),
    "of 40 bits": varint((1 << 40) + 1),
    "smallest": varint(-(1 << 63)),
    "largest": HUGE,
    "endless": b"\xff" * 20,
    "four": varint(4),
    "fifty": varint(50),
}
BOOLEANS = (b"\x00", b"\x01", b"\x02", b"\xff")
UNIONS = (b"\x00", b"\x02", b"\x04", b"\x01", b"\x80\x00", b"\x82\x00", HUGE)


class Written(NamedTuple):
    """A record's value, and whether its user is of shard 1 (else of another)."""

    event: str
    value: bytes
    placed: bool


def _owner(user: str) -> int:
    return int(murmur2(user.encode()) & 0x7FFF_FFFF) % N


OURS = next(user for user in map(str, range(99)) if _owner(user) == 1)
THEIRS = next(user for user in map(str, range(99)) if _owner(user) == 2)


def _plain(name: str, placed: bool) -> Any:
    values = {"id": "event-1", "user_id": OURS if placed else THEIRS, "time": NOW, "channel": 0}
    return values.get(name, "x")


def _encoded(kind: Any, name: str, placed: bool) -> bytes:
    value = _plain(name, placed)
    if isinstance(kind, dict) and kind["type"] == "enum":
        return varint(1)
    base = kind["type"] if isinstance(kind, dict) else kind
    if base == "string":
        return varint(len(str(value))) + str(value).encode()
    return b"\x01" if base == "boolean" else varint(value if name == "time" else 1)


@st.composite
def written(draw: st.DrawFn) -> Written:
    """A record with damage in one or two fields, or behind or before its end, or with none."""
    event = draw(st.sampled_from(sorted(VIEWS)))
    placed = draw(st.booleans())
    fields = registry.layout(registry.raw(event))["fields"]
    damaged = draw(st.sets(st.sampled_from([field["name"] for field in fields]), max_size=2))
    body = b""
    for field in fields:
        name, kind = field["name"], field["type"]
        branches = [one for one in kind if one != "null"] if isinstance(kind, list) else [kind]
        good = _encoded(branches[0], name, placed)
        if isinstance(kind, list):
            present = name in ("campaign_id",) or name in damaged
            index = b"\x02" if present == (kind[0] == "null") else b"\x00"
            if name in damaged:
                index = draw(st.sampled_from((index, *UNIONS)))
            null = (kind[0] == "null") == (_index(index) == 0)
            body += index
            if null:
                continue
        body += _damaged(draw, branches[0], good) if name in damaged else good
    end = draw(st.sampled_from(("", "", "", "cut", "more", "nothing")))
    body = {"cut": body[:-3], "more": body + b"\x00\x01", "nothing": b""}.get(end, body)
    return Written(event, b"\x00" + struct.pack(">I", registry.schema_id(event)) + body, placed)


def _index(data: bytes) -> int:
    number = 0
    for place, byte in enumerate(data):
        number |= (byte & 0x7F) << 7 * place
    return number >> 1 if not number & 1 else -1


def _damaged(draw: st.DrawFn, kind: Any, good: bytes) -> bytes:
    base = kind["type"] if isinstance(kind, dict) else kind
    if base == "string":
        return TEXT_DAMAGE[draw(st.sampled_from(sorted(TEXT_DAMAGE)))](good[1:])
    if base == "boolean":
        return draw(st.sampled_from(BOOLEANS))
    return NUMBER_DAMAGE[draw(st.sampled_from(sorted(NUMBER_DAMAGE)))]


def _good(event: str, number: int) -> bytes:
    fields = registry.layout(registry.raw(event))["fields"]
    body = b""
    for field in fields:
        name, kind = field["name"], field["type"]
        if isinstance(kind, list):
            body += b"\x00" if kind[0] == "null" else b"\x02"
        else:
            base = kind["type"] if isinstance(kind, dict) else kind
            text = f"g{number}" if name == "id" else OURS
            if base == "enum":
                body += varint(0)
            else:
                body += varint(NOW) if base == "long" else varint(len(text)) + text.encode()
    return b"\x00" + struct.pack(">I", registry.schema_id(event)) + body


def _neighbours(event: str) -> Mapping[str, tuple[list[Produced], list[Produced]]]:
    good = [Produced(_good(event, number)) for number in range(9)]
    json_one = Produced(b'{"id": 1}')
    return {
        "alone": ([], []),
        "among good ones": (good[:4], good[4:]),
        "beside one that is no Avro": ([json_one], []),
        "in a group": ([*good[:5], json_one], good[5:]),
        "beside nothing": ([], [Produced(None)]),
        "where keys differ": ([Produced(_good(event, 1), None)], []),
        "with headers": ([Produced(_good(event, 1), b"user", NOW, [("trace", b"1")])], []),
    }


def _came(event: str, records: Sequence[Produced]) -> Ingested:
    came = batch(records, topic=f"t.interactions.{event}", partition=1, base_offset=FROM)
    return ingest([came], 1, N, INPUTS)


def _outcome(one: Written, around: str) -> tuple[str, Any]:
    """What becomes of a record that comes to shard 1 in this company; the company is taken."""
    before, after = _neighbours(one.event)[around]
    found = _came(one.event, [*before, Produced(one.value), *after])
    company = _came(one.event, [*before, *after]) if before or after else None
    events = company.events if company is not None else 0
    rejects = [reject for reject in found.rejects if reject.offset == FROM + len(before)]
    assert len(found.rejects) - len(rejects) == (len(company.rejects) if company else 0)
    if rejects:
        (reject,) = rejects
        assert (reject.topic, reject.partition) == (f"t.interactions.{one.event}", 1)
        assert (reject.key, reject.value) == (b"user", one.value)
        assert found.events == events
        return "rejected", reject.code
    if found.forwards:
        assert found.events == events
        (forward,) = found.forwards
        return "taken", _arrived(forward, around)
    assert found.events == events + 1
    return "taken", _more(found, company)


def _more(found: Ingested, company: Ingested | None) -> dict[Any, int]:
    more = Counter(found.interactions.rows())
    more.subtract(Counter(company.interactions.rows() if company is not None else ()))
    return {row: count for row, count in more.items() if count}


def _arrived(forward: Forward, around: str) -> dict[Any, int]:
    """Its rows where it was forwarded to, among forwarded ones or beside a strange record."""
    ((key, value),), (own,) = forward.keyed(), forward.own_headers()
    stamped = Produced(value, key, NOW + 10**9, [*forward.headers, *own])
    strange = [Produced(b"strange", b"k")] if around != "alone" else []
    came = batch([stamped, *strange], topic=INPUTS.repartition, partition=forward.target)
    found = ingest([came], forward.target, N, INPUTS)
    assert (found.events, len(found.rejects), found.forwards) == (1, len(strange), [])
    return _more(found, None)


@settings(max_examples=80, deadline=None)
@given(written())
def test_what_becomes_of_a_record_does_not_depend_on_its_company(one: Written) -> None:
    outcomes = {around: _outcome(one, around) for around in _neighbours(one.event)}
    assert all(found == outcomes["alone"] for found in outcomes.values()), outcomes


def _with(event: str, name: str, raw: bytes) -> Written:
    """A good record of shard 1 but for one text, which is there with these bytes."""
    body = b""
    for field in registry.layout(registry.raw(event))["fields"]:
        kind = field["type"]
        base = next(one for one in kind if one != "null") if isinstance(kind, list) else kind
        wanted = field["name"] in (name, "campaign_id")
        if isinstance(kind, list):
            body += b"\x02" if wanted == (kind[0] == "null") else b"\x00"
            if not wanted:
                continue
        body += raw if field["name"] == name else _encoded(base, field["name"], True)
    return Written(event, b"\x00" + struct.pack(">I", registry.schema_id(event)) + body, True)


@pytest.mark.parametrize("damage", ["no UTF-8", "long"])
@pytest.mark.parametrize("name", ["url"])
def test_a_field_that_is_not_read_rejects_no_event(name: str, damage: str) -> None:
    """Tracking links have often more bytes than a field may have."""
    one = _with("click", name, TEXT_DAMAGE[damage](b"x"))
    for around in _neighbours("click"):
        assert _outcome(one, around)[0] == "taken", around


@pytest.mark.parametrize("damage", ["no UTF-8", "long"])
@pytest.mark.parametrize("name", ["link_alias", "external_user_id", "user_id", "id"])
def test_a_field_that_is_kept_is_checked_everywhere(name: str, damage: str) -> None:
    one = _with("click", name, TEXT_DAMAGE[damage](b"x"))
    code = {"no UTF-8": "undecodable", "long": "too_long"}[damage]
    for around in _neighbours("click"):
        assert _outcome(one, around) == ("rejected", code), around


@pytest.mark.parametrize("url", ["5", '"\\ud800"', f'"{"x" * 600}"'])
def test_json_is_judged_by_the_same_fields(url: str) -> None:
    text = f'{{"id": "1", "user_id": "{OURS}", "time": {NOW}, "url": {url}}}'
    found = _came("click", [Produced(text.encode())])
    assert (found.events, found.rejects) == (1, [])
