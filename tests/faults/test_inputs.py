"""Malformed records: each is rejected once, with its reason, and affects no other record."""

import time
from collections import Counter
from pathlib import Path

import pytest

from agents.tools.demo.generator import DAY_MS, generate
from agents.tools.demo.malformed import MALFORMED, malformed
from agents.tools.oracle import expect
from agents.tools.publish import publish
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.harness import Cluster, small, until

EVENTS = 4_000


@pytest.mark.connected
@pytest.mark.slow
async def test_each_malformed_record_is_rejected_once_and_the_rest_is_folded(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    ours = small(settings)
    # near the present: one of the malformed events lies in its future
    day = generate(seed=11, events=EVENTS, start_ms=int(time.time() * 1000) - 2 * DAY_MS)
    chunks = [chunk for chunk in day.chunks() if chunk.rejected is None]
    expected = expect((chunk.event, record) for chunk in chunks for record in chunk.records())
    bad = list(malformed(day.user_ids[: len(MALFORMED)], day.start_ms))
    # between good ones, so that batches are mixed
    await publish(ours, [*chunks[:6], *bad, *chunks[6:]])
    with Cluster(ours, tmp_path, workers=1) as cluster:
        cluster.start()
        await cluster.ready()

        async def rejected() -> bool:
            return len(await read_all(KafkaLog(ours), topics.rejected)) >= len(MALFORMED)

        await until(rejected, 60, "the malformed records are rejected", cluster.tails)
        await cluster.holds(expected, sorted({key[0] for key in expected}))
        found = await read_all(KafkaLog(ours), topics.rejected)
    headers = [{name: (value or b"").decode() for name, value in r.headers} for _, _, r in found]
    assert Counter(h["code"] for h in headers) == Counter(MALFORMED)
    assert all({"topic", "partition", "offset", "code", "detail"} <= h.keys() for h in headers)
    places = {(h["topic"], h["partition"], h["offset"]) for h in headers}
    assert len(places) == len(MALFORMED)
    assert {record.value for _, _, record in found} == {chunk.values[0] for chunk in bad}
