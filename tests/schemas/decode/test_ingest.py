"""Ingest against an oracle in plain Python, record by record."""

import random
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from schemas.decode.batch import RecordBatch, unpack
from schemas.decode.check import DEFAULT_LIMITS
from schemas.decode.ingest import Ingested, ingest
from schemas.decode.users import of_users, take_users
from schemas.records import codec
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import PROFILE
from streams.kafka.topic_specs import Topics
from tests.rigs.forwarded import (
    REPARTITION,
    USERS,
    N,
    forwarded,
    owner,
)
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch, two_readings


def value(event: str, user: str, number: int, **fields: Any) -> bytes:
    base = {"id": f"id{number}", "user_id": user, "time": NOW + number, "campaign_id": "c1"}
    return codec.encode(event, base | fields)


OURS = [user for user in USERS if owner(user) == 1]


def random_batches(seed: int, users: Sequence[str]) -> tuple[list[RecordBatch], dict[int, int]]:
    """Batches of three topics, some dirty, and how many records of each user's shard."""
    chance = random.Random(seed)
    found: list[RecordBatch] = []
    owners: dict[int, int] = {}
    offsets = {"send": 0, "open": 0, "variant": 0}
    for number in range(12):
        event = chance.choice(list(offsets))
        records = []
        for i in range(chance.randrange(1, 60)):
            user = chance.choice(users)
            owners[owner(user)] = owners.get(owner(user), 0) + 1
            data = value(event, user, i + 100 * number, campaign_id=chance.choice(["c1", "c2"]))
            records.append(Produced(data, user.encode(), NOW + i))
        if chance.random() < 0.4:
            records.append(Produced(b"rubbish", None))
        topic = f"t.interactions.{event}"
        found.append(batch(records, topic=topic, partition=1, base_offset=offsets[event]))
        offsets[event] = found[-1].next_offset
    return found, owners


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_taken_in_once_by_its_shard(seed: int) -> None:
    batches, owners = random_batches(seed, USERS)

    first = ingest(batches, 1, N, INPUTS)

    assert first.events == owners[1] == first.interactions.height
    assert set(first.interactions["user"].unique()) <= set(OURS)
    assert [r.code for r in first.rejects] == ["undecodable"] * len(first.rejects)
    everything = [first.interactions]
    for number, partition in enumerate(f.target for f in first.forwards):
        again = ingest([forwarded(first.forwards)[number]], partition, N, INPUTS)
        assert not again.forwards
        assert not again.rejects
        assert {owner(user) for user in again.interactions["user"]} == {partition}
        everything.append(again.interactions)
    whole = [ingest(batches, p, 1, INPUTS).interactions for p in (0,)]
    assert_frame_equal(pl.concat(everything), pl.concat(whole), check_row_order=False)


def kinds(found: Ingested) -> dict[str, int]:
    return dict(found.interactions.group_by("kind").len().iter_rows())


def test_forwards_are_original_bytes_grouped_by_target_and_topic() -> None:
    batches, _ = random_batches(3, USERS)
    originals = {(one.topic, r.key, r.value, r.timestamp) for one in batches for r in unpack(one)}

    forwards = ingest(batches, 1, N, INPUTS).forwards

    places = [(f.topic, f.target) for f in forwards]
    assert len(set(places)) == len(places)
    for forward in forwards:
        assert (forward.partition, forward.target != 1) == (1, True)
        offsets = [r.offset for r in forward.records]
        assert offsets == sorted(offsets)
        for r in forward.records:
            assert owner((r.key or b"").decode()) == forward.target
            assert (forward.topic, r.key, r.value, r.timestamp) in originals


def test_attributes_that_can_be_read_in_two_ways_stop_nothing() -> None:
    ours = next(user for user in USERS if owner(user) == 0)
    others = next(user for user in USERS if owner(user) == 1)
    bad = two_readings(value("send", ours, 1, time=NOW // 1000))
    away = two_readings(value("send", others, 2))

    found = ingest([bad, away], 0, N, INPUTS)

    assert [(reject.offset, reject.code) for reject in found.rejects] == [(0, "bad_time")]
    (forward,) = found.forwards
    assert forward.target == 1
    assert [record.value for record in forward.records] == [unpack(away)[0].value]


def test_misplaced_events_of_repartition_stay() -> None:
    strangers = [user for user in USERS if owner(user) != 1][:20]
    records = [
        Produced(
            value("click", user, i, link_alias="a"), None, NOW, [("topic", b"t.interactions.click")]
        )
        for i, user in enumerate(strangers)
    ]

    found = ingest([batch(records, topic=REPARTITION, partition=1)], 1, N, INPUTS)

    assert (found.events, found.forwards, kinds(found)) == (20, [], {"clicked": 20})


def test_repartition_with_mixed_origins() -> None:
    origins = [
        ("send", b"t.interactions.send"),
        ("open", b"t.interactions.open"),
        ("send", b"t.users"),
    ]
    records = [
        Produced(value(event, OURS[i], i), b"k", NOW, [("topic", topic)])
        for i, (event, topic) in enumerate(origins * 5)
    ]
    records.append(Produced(value("send", OURS[0], 99), b"k", NOW, [("other", b"x")]))
    records.append(Produced(value("send", OURS[0], 99), b"k", NOW))

    found = ingest([batch(records, topic=REPARTITION, partition=1)], 1, N, INPUTS)

    assert kinds(found) == {"received": 5, "opened": 5}
    assert len(found.rejects) == 7
    assert {r.code for r in found.rejects} == {"undecodable"}
    assert found.rejects[0].topic == REPARTITION


@pytest.mark.parametrize("origin", [b"\x00" * 90_000, "\u20ac".encode() * 90_000])
@pytest.mark.parametrize("length", [0, 890_000])
def test_a_reject_fits_a_record_whatever_the_header_says(origin: bytes, length: int) -> None:
    long = Produced(b"{" * length, b"k", NOW, [("topic", origin)])

    found = ingest([batch([long], topic=REPARTITION, partition=1)], 1, N, INPUTS)

    (reject,) = found.rejects
    assert len(reject.detail) < 1_000
    size = len(reject.key or b"") + len(reject.value or b"")
    size += sum(len(name) + len(text) for name, text in reject.headers)
    assert size <= DEFAULT_LIMITS.max_record_bytes + 10_000


def test_json_among_avro() -> None:
    user = OURS[0]
    typed = f'{{"id": "1", "user_id": "{user}", "time": {NOW}, "canvas_id": "k"}}'.encode()
    records = [Produced(value("send", user, i), user.encode()) for i in range(30)]
    records.insert(7, Produced(typed, None))

    found = ingest([batch(records, topic="t.interactions.send", partition=1)], 1, N, INPUTS)

    assert found.events == 31
    assert not found.rejects
    assert found.interactions.filter(pl.col("source") == "canvas:k").height == 1


def test_signals_and_events_without_source_make_profile_wide_rows_only() -> None:
    user = OURS[0]
    sends = batch(
        [Produced(value("send", user, i, campaign_id=None)) for i in range(5)],
        topic="t.interactions.send",
    )
    signals = batch(
        [Produced(value("signal", user, i)) for i in range(5)], topic="t.interactions.signal"
    )

    found = ingest([sends, signals], 1, N, INPUTS)

    assert found.events == 10
    assert set(found.interactions["source"]) == {PROFILE}


def test_nothing() -> None:
    found = ingest([], 0, N, INPUTS)

    assert found.interactions.schema == SCHEMA
    assert (found.events, found.forwards, found.rejects) == (0, [], [])


def test_a_topic_of_no_event() -> None:
    found = ingest([batch([Produced(b"{}")], topic="t.users")], 0, N, INPUTS)

    assert [r.detail for r in found.rejects] == ["no kind of event has the topic 't.users'"]


PREFIXES = ["brz-", "", "a.b.", "a_b_", "x", "users", "repartition.", "repartition", "lifecycle."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_what_a_record_is_does_not_hang_on_how_the_prefix_ends(prefix: str) -> None:
    topics = Topics(prefix)
    records = [Produced(value("send", user, i), user.encode()) for i, user in enumerate(USERS)]
    sends = batch(records, topic=topics.event("send"), partition=1)
    known = [Produced(codec.encode("user", {"user_id": user}), user.encode()) for user in USERS]
    users = batch(known, topic=topics.users, partition=1)

    assert not of_users(sends, topics.inputs)
    assert of_users(users, topics.inputs)
    first = ingest([sends], 1, N, topics.inputs)
    said = take_users([users], 1, N, 0, topics.inputs)
    assert not [*first.rejects, *said.rejects]
    assert first.events == said.rows.height == len(OURS)
    for forward in [*first.forwards, *said.forwards]:
        assert forward.topic in (topics.event("send"), topics.users)
        (arrived,) = forwarded([forward], topics.repartition)
        count = len(forward.records)
        if of_users(arrived, topics.inputs):
            taken = take_users([arrived], forward.target, N, 0, topics.inputs)
            assert (taken.rows.height, taken.rejects, taken.forwards) == (count, [], [])
        else:
            again = ingest([arrived], forward.target, N, topics.inputs)
            assert (again.events, again.rejects, again.forwards) == (count, [], [])


@pytest.mark.parametrize("topic", ["other.send", "send", "xt.interactions.send"])
def test_a_topic_with_only_the_same_ending_is_another_topic(topic: str) -> None:
    found = ingest([batch([Produced(value("send", OURS[0], 1))], topic=topic)], 1, N, INPUTS)

    assert (found.events, [reject.code for reject in found.rejects]) == (0, ["undecodable"])
