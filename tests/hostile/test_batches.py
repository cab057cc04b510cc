"""Hostile batches through ingest: each record is accepted or rejected, in bounded memory."""

import itertools
import time
import tracemalloc

import pytest

from schemas.decode.batch import parse_batches
from schemas.decode.ingest import ingest
from schemas.decode.reject import Reject
from streams.kafka.topic_specs import Topics
from tests.rigs.hostile.batches import KINDS, event_value, hostile_batches
from tests.rigs.record_batches import Produced, batch

TOPICS = Topics("h-")
BATCHES = 40
LIMIT = 2_000_000
SPACE = 20 * LIMIT
SECONDS = 20.0


def _weight(rejects: list[Reject]) -> int:
    return sum(one.weight for one in rejects)


@pytest.mark.parametrize("seed", range(2))
def test_each_batch_is_accepted_or_rejected_and_good_ones_around_it_are_accepted(seed: int) -> None:
    seen: set[str] = set()
    for hostile in itertools.islice(hostile_batches(seed), BATCHES):
        topic = TOPICS.event(hostile.event)
        seen.add(hostile.kind)
        good = batch(
            [Produced(event_value("send", n)) for n in range(3)], topic=TOPICS.event("send")
        )
        [(header, found)] = parse_batches(hostile.wire, topic, 0, limit=LIMIT)
        assert found is not None
        began = time.monotonic()
        tracemalloc.start()
        try:
            taken = ingest([found, good], 0, 1, TOPICS.inputs)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert time.monotonic() - began < SECONDS, hostile.kind
        assert peak < SPACE, (hostile.kind, peak)
        assert taken.events >= 3, hostile.kind
        assert _weight(taken.rejects) <= 41 * len(hostile.wire) + 20_000, hostile.kind
        whole = [one for one in taken.rejects if "a batch of" in one.detail]
        if whole:
            assert taken.rejects == whole
            assert whole[0].offset == header.base_offset
            assert hostile.wire.startswith(whole[0].value or b"")
        else:
            assert taken.events + len(taken.rejects) == hostile.records + 3, hostile.kind
    assert len(seen) > len(KINDS) // 2
