"""Rejected records go to their topic again, each once, though a replay is ended and repeated."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from agents.requests import replay as replaying
from agents.requests.rejected import rejected
from agents.requests.replay import replay
from agents.requests.replay_plan import KEPT_BYTES, Left, ReplayFilter, headers_of, judged, of
from schemas.decode.batch import KafkaRecord
from schemas.decode.check import DEFAULT_LIMITS
from schemas.decode.reject import Reject
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import Fenced, Record
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings

ALL = ReplayFilter()
TOPICS = Topics("t.")


def record(value: bytes | None = b"v", key: bytes | None = b"k", **headers: str) -> KafkaRecord:
    place = {"topic": "t.interactions.send", "partition": "2", "offset": "7", "code": "bad_time"}
    pairs = [(name, text.encode()) for name, text in (place | headers).items()]
    return KafkaRecord(5, 1_000, key, value, pairs)


def found(one: KafkaRecord) -> Any:
    return judged(one, headers_of(one), TOPICS)


def test_a_record_goes_to_the_partition_that_it_came_from_with_its_own_bytes() -> None:
    one = found(record())
    assert one.record == Record("t.interactions.send", b"k", b"v", 2)
    assert not one.compacted
    assert found(record(None, topic="t.users")).record.value is None


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (record(b"x" * 900_000), Left.CUT),
        (record(b"wire", None, detail="a batch of 3 records up to offset 9: bad"), Left.BATCH),
        (record(None, None), Left.EMPTY),
        (record(topic="t.control"), Left.OTHER_TOPIC),
        (record(topic="t.changelog"), Left.OTHER_TOPIC),
        (record(topic="other.interactions.send"), Left.OTHER_TOPIC),
        (record(partition="-1"), Left.UNNAMED),
        (record(offset="many"), Left.UNNAMED),
        (record(topic=""), Left.UNNAMED),
    ],
)
def test_what_is_not_whole_or_not_ours_is_left(one: KafkaRecord, why: Left) -> None:
    assert found(one) is why


def test_the_filter_is_by_reason_topic_and_time() -> None:
    wanted = ReplayFilter(frozenset({"bad_time"}), frozenset({"interactions.send"}), 10, 20)
    assert wanted.takes("bad_time", "interactions.send", 10)
    for code, topic, time in (
        ("bad_json", "interactions.send", 10),
        ("bad_time", "interactions.open", 10),
        ("bad_time", "interactions.send", 9),
        ("bad_time", "interactions.send", 20),
    ):
        assert not wanted.takes(code, topic, time)
    assert ALL.takes("anything", "anywhere", 0)


def test_what_was_cut_is_known_by_its_size() -> None:
    assert DEFAULT_LIMITS.max_record_bytes == KEPT_BYTES


def test_only_a_mark_marks() -> None:
    assert of({"code": "replayed", "of": "12"}) == 12
    for headers in (
        {"code": "bad_time", "of": "12"},
        {"code": "replayed"},
        {"code": "replayed", "of": "x"},
    ):
        assert of(headers) is None


class Stopped(Exception):
    """The command is ended."""


async def write(settings: Settings, rejects: Sequence[tuple[int, Reject]]) -> None:
    writer = KafkaLog(settings).writer("test-rejects")
    await writer.start()
    topic = Topics(settings.prefix).rejected
    await writer.commit([Record(topic, one.key, one.value, at, one.headers) for at, one in rejects])
    await writer.close()
    await values(settings, topic, len(rejects))


async def values(
    settings: Settings, topic: str, least: int = 0
) -> Counter[tuple[int, bytes | None]]:
    """How often each value is in a partition, once there are so many: a commit returns before all
    partitions have its marker, and readers see nothing behind an open transaction.
    """
    async with asyncio.timeout(30):
        while True:
            read = await read_all(KafkaLog(settings), topic)
            if len(read) >= least:
                return Counter((at, one.value) for _, at, one in read)


@pytest.mark.connected
async def test_each_is_sent_once_though_the_command_is_ended_and_repeated(
    settings: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_AT_ONCE", 10)
    kafka, send = KafkaLog(settings), topics.event("send")
    # the user came again later, and the definition did not
    users = KafkaLog(settings).writer("test-users")
    await users.start()
    await users.commit(
        [Record(topics.users, b"u", b"first", 1), Record(topics.users, b"u", b"new", 1)]
    )
    await users.close()
    rejects = [
        (number % 4, Reject(send, number % 4, number, "bad_time", "", b"k", b"%d" % number))
        for number in range(60)
    ]
    more = [
        (0, Reject(topics.users, 1, 0, "unknown_schema", "", b"u", b"first")),
        (0, Reject(topics.catalog, 0, 9, "unknown_schema", "", b"campaign:a", b"definition")),
        (0, Reject(topics.control, 0, 1, "undecodable", "", None, b"command")),
        (1, Reject(send, 1, 99, "bad_json", "", None, b"{")),
    ]
    await write(settings, [*rejects, *more])
    wanted = ReplayFilter(frozenset({"bad_time"}))
    counted = await replay(kafka, topics, ALL, dry_run=True)
    assert counted.sent == {
        ("bad_time", send): 60,
        ("unknown_schema", topics.catalog): 1,
        ("bad_json", send): 1,
    }
    assert counted.left == {Left.SUPERSEDED: 1, Left.OTHER_TOPIC: 1}
    assert not await values(settings, send), "a dry run sends nothing"

    def ended(done: int, total: int) -> None:
        assert total <= 60
        if done:
            raise Stopped

    for _ in range(3):
        with pytest.raises(Stopped):
            await replay(kafka, topics, wanted, progress=ended)
    assert (await values(settings, send, 1)).total() <= 30
    shown: list[tuple[int, int]] = []
    done = await replay(kafka, topics, wanted, progress=lambda *now: shown.append(now))
    assert done.sent.total() + done.before == 60
    assert shown[-1] == (done.sent.total(), done.sent.total())
    expected = Counter((number % 4, b"%d" % number) for number in range(60))
    assert await values(settings, send, 60) == expected
    again = await replay(kafka, topics, wanted)
    assert (again.sent.total(), again.before) == (0, 60)
    # the others, some at a time
    part = await replay(kafka, topics, ALL, most=1)
    assert (part.sent.total(), part.more) == (1, True)
    rest = await replay(kafka, topics, ALL)
    assert (rest.sent.total(), rest.before, rest.more) == (1, 61, False)
    assert await values(settings, send, 61) == expected + Counter({(1, b"{"): 1})
    assert await values(settings, topics.catalog, 1) == {(0, b"definition"): 1}
    # what was sent again is counted no more
    left = (await rejected(kafka, topics.rejected, None, 5)).facts()
    assert {one["topic"]: one["count"] for one in left["counts"]} == {
        topics.users: 1, topics.control: 1
    }  # fmt: skip


@pytest.mark.connected
async def test_a_replay_that_begins_ends_another_that_still_runs(
    settings: Settings, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_AT_ONCE", 1)
    kafka, send = KafkaLog(settings), topics.event("send")
    await write(
        settings, [(0, Reject(send, 0, n, "bad_time", "", None, b"%d" % n)) for n in (1, 2)]
    )
    chosen = replaying._send

    async def late(*arguments: Any) -> None:
        monkeypatch.setattr(replaying, "_send", chosen)
        assert (await replay(kafka, topics, ALL)).sent.total() == 2
        await chosen(*arguments)

    monkeypatch.setattr(replaying, "_send", late)
    with pytest.raises(Fenced):
        await replay(kafka, topics, ALL)
    assert (await values(settings, send, 2)).total() == 2
