"""The code that processes each kind of hostile input, and its promises.

Every taker makes `count` inputs from a seed, passes them to the product's own code, and raises
AssertionError if a promise is broken. Output is limited to a multiple of the input, in topics, in
memory and in answers.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from agents.coordinator.records import read
from agents.coordinator.rules import ledger
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.inputs import Tick
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.state import CoordinatorState
from agents.filters.errors import FilterError
from agents.filters.parsing import parse
from schemas.decode.batch import RecordBatch
from schemas.decode.ingest import ingest
from schemas.decode.reject import Reject
from schemas.decode.users import take_users
from schemas.records import codec
from streams.kafka.topic_specs import EVENTS, Topics
from tests.rigs.hostile.damage import bytes_of, damaged_bytes, damaged_object, strange
from tests.rigs.record_batches import NOW, Produced, batch

__all__ = ["TAKERS", "Taker"]

Taker = Callable[[int, int], int]
"""`(seed, count)` to the number of inputs taken."""

TOPICS = Topics("h-")
GROUP = 25
GROWTH, FIXED = 40, 40_000
"""Output may have so many times the bytes of the input, and so many besides."""
PARTITIONS = 2
SECONDS = 20.0
"""A group of inputs that takes longer is a loop, even on a busy machine."""

GOOD_EVENT: dict[str, dict[str, Any]] = {
    "send": {"channel": "EMAIL", "canvas_step_id": "s"},
    "open": {"channel": "PUSH", "machine_open": True},
    "click": {"channel": "SMS", "link_alias": "hero", "url": "https://example.com/"},
    "variant": {"in_control_group": True, "exited": False},
    "conversion": {"conversion_behavior_index": 2},
    "signal": {"signal_type": "FEED_VIEW", "value": "x"},
}


def events(seed: int, count: int) -> int:
    """Events of all kinds, alone, among good ones, and forwarded: each is accepted or rejected
    once, and the good ones around it are accepted.
    """
    taken = 0
    for number in range(0, count, GROUP):
        rng = Random(f"events {seed} {number}")
        batches = []
        for event in rng.sample(EVENTS, 3):
            good = {"id": f"g{number}{event}", "user_id": "ada", "time": NOW, "campaign_id": "a"}
            good |= {} if event == "signal" else GOOD_EVENT[event]
            records = [_produced(rng, event, good) for _ in range(GROUP // 3)]
            records.insert(rng.randrange(len(records) + 1), Produced(codec.encode(event, good)))
            batches.append(batch(records, topic=TOPICS.event(event)))
        found = _timed(
            partial(ingest, batches, rng.randrange(PARTITIONS), PARTITIONS, TOPICS.inputs)
        )
        came = sum(one.count for one in batches)
        forwarded = sum(len(to.records) for to in found.forwards)
        assert found.events + forwarded + len(found.rejects) == came
        _check_rejects(found.rejects, batches)
        there = set(found.interactions["user"])
        for one in found.forwards:
            there |= {_user_of(record.value) for record in one.records}
        assert "ada" in there, "a good event beside hostile ones is missing"
        taken += came
    return taken


def users(seed: int, count: int) -> int:
    """Records of the users topic: each becomes one row, one forward or one reject."""
    good = {
        "user_id": "ada",
        "external_user_id": "a-1",
        "aliases": ["x", "y"],
        "merged_into": None,
    }
    taken = 0
    for number in range(0, count, GROUP):
        rng = Random(f"users {seed} {number}")
        records = [_record(rng, "user", good, b"ada") for _ in range(GROUP)]
        found = batch(records, topic=TOPICS.users)
        rows = _timed(
            partial(
                take_users, [found], rng.randrange(PARTITIONS), PARTITIONS, number, TOPICS.inputs
            )
        )
        forwarded = sum(len(to.records) for to in rows.forwards)
        assert rows.rows.height + forwarded + len(rows.rejects) == len(records)
        _check_rejects(rows.rejects, [found])
        taken += len(records)
    return taken


def definitions(seed: int, count: int) -> int:
    """Definitions: no source that an unreadable one named expires, and nothing grows."""
    good = {
        "key": "canvas:a",
        "name": "Spring",
        "status": "ACTIVE",
        "tags": ["2026"],
        "filters": json.dumps({"filter": "received_from_campaign", "campaign": "b"}),
        "references": ["campaign:c"],
        "stopped_at": None,
        "updated_at": NOW,
    }
    return _coordinate("definitions", seed, count, TOPICS.catalog, "definition", good)


def commands(seed: int, count: int) -> int:
    """Commands: each is answered, and the answers are bounded by what was asked."""
    good = {
        "type": "restore",
        "sources": ["campaign:a", "canvas:a"],
        "tag": None,
        "request_id": "r",
        "reason": "because",
    }
    return _coordinate("commands", seed, count, TOPICS.control, "command", good)


def reports(seed: int, count: int) -> int:
    """Records in an internal topic: the coordinator continues, whoever wrote them."""
    item = {"source": "campaign:a", "version": 1, "phase": "expired", "checksum": "0" * 32}
    good = {"partition": 0, "time": NOW, "items": [item]}
    return _coordinate("reports", seed, count, TOPICS.shard_reports, "report", good)


def filters(seed: int, count: int) -> int:
    """Filters: each is understood or refused with a code and a path."""
    rng = Random(f"filters {seed}")
    refused: set[str] = set()
    good = {"filter": "received_from_campaign", "campaign": "a"}
    for _ in range(count):
        node: Any = damaged_object(rng, good)
        for _ in range(rng.choice((0, 0, 1, 5, 40))):
            node = rng.choice(({"and": [node]}, {"or": [node, good]}, {"not": node}, [node]))
        try:
            parse(node if rng.random() < 0.8 else strange(rng))
        except FilterError as error:
            refused.add(error.code)
    assert all(refused)
    return count


TAKERS: Mapping[str, Taker] = {
    "events": events,
    "users": users,
    "definitions": definitions,
    "commands": commands,
    "reports": reports,
    "filters": filters,
}


def _produced(rng: Random, event: str, good: Mapping[str, Any]) -> Produced:
    key = rng.choice((b"ada", b"", None, b"\xff\xfe", rng.randbytes(20)))
    record = _record(rng, event, good, key)
    headers = [(rng.choice(("", "h", "traceparent")), rng.choice((None, b"", b"v")))]
    return record._replace(headers=headers * rng.choice((0, 0, 1, 3, 300)))


def _record(rng: Random, name: str, good: Mapping[str, Any], key: bytes | None) -> Produced:
    hostile = damaged_object(rng, good)
    as_json = json.dumps(hostile).encode()
    try:
        encoded = codec.encode(name, hostile)
    except codec.Unencodable:
        encoded = damaged_bytes(rng, codec.encode(name, dict(good)))
    value = None if rng.random() < 0.03 else bytes_of(rng, encoded, as_json)
    return Produced(value, key, rng.choice((NOW, NOW, NOW, 0, -1, 2**62)))


def _coordinate(
    what: str, seed: int, count: int, topic: str, name: str, good: Mapping[str, Any]
) -> int:
    policy = Policy(partitions=PARTITIONS)
    state, now, offset = CoordinatorState(), NOW, 0
    for number in range(0, count, GROUP):
        rng = Random(f"{what} {seed} {number}")
        records = [
            _record(rng, name, good, rng.choice((b"canvas:a", b"canvas:a", b"", None, b"\xff")))
            for _ in range(GROUP)
        ]
        found = batch(records, topic=topic, base_offset=offset)
        offset += len(records)
        now += 60_000

        def step(
            found: RecordBatch = found, state: CoordinatorState = state, now: int = now
        ) -> Any:
            items = read(TOPICS, [found], {}, NOW)
            meanings = [item.meaning for item in items if item.meaning is not None]
            return items, decide(state, [*meanings, Tick(0)], now, policy)

        items, decision = _timed(step)
        assert len(items) == len(records)
        state = decision.state
        size = sum(len(item.reject.value or b"") for item in items if item.reject)
        size += sum(len(codec.encode(o.schema, dict(o.record))) for o in decision.outputs)
        size += sum(len(value or b"") for _, value in ledger.entries(decision))
        came = _size([found])
        assert size <= GROWTH * came + FIXED, f"{came} bytes became {size}"
    return count


def _check_rejects(rejects: Sequence[Reject], batches: Sequence[RecordBatch]) -> None:
    places = [(one.topic, one.partition, one.offset) for one in rejects]
    assert len(set(places)) == len(places), "a record is rejected twice"
    topics = {one.topic for one in batches}
    assert {topic for topic, *_ in places} <= topics
    size = sum(
        len(one.key or b"") + len(one.value or b"") + sum(len(v) for _, v in one.headers)
        for one in rejects
    )
    assert size <= GROWTH * _size(batches) + FIXED


def _size(batches: Sequence[RecordBatch]) -> int:
    return sum(len(one.payload) for one in batches)


def _user_of(value: bytes | None) -> object:
    for event in EVENTS:
        try:
            return codec.decode(value or b"", event)["user_id"]
        except codec.Undecodable:
            continue
    return None


def _timed(work: Callable[[], Any]) -> Any:
    began = time.monotonic()
    found = work()
    took = time.monotonic() - began
    assert took < SECONDS, f"a group of {GROUP} small inputs took {took:.1f} s"
    return found
