"""A record that was forwarded through another shard keeps its position, its key and its time."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.decode.batch import RecordBatch, unpack
from schemas.decode.check import DEFAULT_LIMITS, LATENESS, RecordLimits
from schemas.decode.ingest import Ingested, ingest
from schemas.decode.users import take_users
from schemas.records import codec
from tests.rigs.forwarded import LONG_AFTER, USERS, forwarded, forwarded_before, owner
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch

N = 4
MISPLACED = next(user for user in USERS if owner(user) == 2)
FROM = 5_000
"""The offset of the first of them where its producer wrote it."""


def event(**fields: object) -> bytes:
    return codec.encode("send", {"id": "i", "user_id": MISPLACED, "time": NOW} | fields)


def sent(records: Sequence[Produced]) -> list[RecordBatch]:
    """What arrives in `repartition` of events that came to shard 1."""
    came = batch(records, topic="t.interactions.send", partition=1, base_offset=FROM)
    return forwarded(ingest([came], 1, N, INPUTS).forwards)


def arrived(batches: Sequence[RecordBatch], limits: RecordLimits = DEFAULT_LIMITS) -> Ingested:
    return ingest(batches, 2, N, INPUTS, limits)


@pytest.mark.parametrize("neighbour", [(), (Produced(b"rubbish", b"k"),)])
@pytest.mark.parametrize("key", [None, b"", b"other", MISPLACED.encode()])
def test_a_forwarded_event_is_keyed_by_its_user_and_names_its_producers_record(
    key: bytes | None, neighbour: tuple[Produced, ...]
) -> None:
    [way] = sent([*neighbour, Produced(event(), key, NOW)])

    (record,) = unpack(way)
    assert record.key == MISPLACED.encode()
    found = arrived([way])
    assert (found.events, found.rejects) == (1, [])
    # its own shard has another limit
    [reject] = arrived([way], RecordLimits(max_field_bytes=20)).rejects
    assert (reject.topic, reject.partition) == ("t.interactions.send", 1)
    assert reject.offset == FROM + len(neighbour)
    assert (reject.code, reject.key, reject.value) == ("too_long", key, event())


def test_its_own_time_is_judged_and_not_that_at_which_it_was_forwarded() -> None:
    ahead = Produced(event(time=NOW + 3 * LATENESS), None, NOW + 2 * LATENESS)
    stampless = Produced(event(time=NOW + 3 * LATENESS), None, -1)
    for record in (ahead, stampless):
        [way] = sent([record])
        assert arrived([way]).events == 1
        # with the time at which it was forwarded
        assert arrived([replace(way, base_timestamp=NOW)]).events == 1


def test_keys_with_and_without_do_not_share_a_batch() -> None:
    records = [Produced(event(id=str(n)), b"k" if n % 2 else None) for n in range(6)]
    batches = sent(records)
    assert sorted(one.count for one in batches) == [3, 3]
    assert arrived(batches).events == 6


def test_what_an_earlier_release_forwarded_keeps_its_time() -> None:
    came = batch([Produced(event(), b"k", NOW)], topic="t.interactions.send", partition=1)
    forwards = ingest([came], 1, N, INPUTS).forwards
    assert arrived(forwarded_before(forwards)).events == 1
    [before] = forwarded_before(forwards)
    [reject] = arrived([replace(before, base_timestamp=NOW - 2 * LATENESS)]).rejects
    assert (reject.topic, reject.code, reject.key) == (INPUTS.repartition, "bad_time", b"k")


@pytest.mark.parametrize("stamp", [b"+5", b"05", b"", b"x", b"9" * 30, b"9" * 19, b"\xff", b"- 1"])
@pytest.mark.parametrize("neighbour", [(), (Produced(b"{}", b"k"),)])
def test_headers_that_were_not_written_so_say_nothing(
    stamp: bytes, neighbour: tuple[Produced, ...]
) -> None:
    names = ("topic", "partition", "offset", "stamp")
    values = (b"t.interactions.send", b"1", b"7", stamp)
    forged = Produced(event(), b"k", LONG_AFTER, tuple(zip(names, values, strict=True)))
    found = arrived([batch([forged, *neighbour], topic=INPUTS.repartition, partition=2)])
    assert found.events == 1
    assert len(found.rejects) == len(neighbour)


def test_a_deletion_of_a_user_finds_its_way() -> None:
    users = [Produced(None, MISPLACED.encode(), NOW)]
    taken = take_users([batch(users, topic="t.users", partition=1)], 1, N, 0, INPUTS)
    again = take_users(forwarded(taken.forwards), 2, N, 0, INPUTS)
    assert again.rows.select("user", "deleted").rows() == [(MISPLACED, True)]
