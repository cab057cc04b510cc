"""The peers do the same job: their keys equal those of the oracle."""

from agents.tools.bench.crowd import crowd
from agents.tools.bench.peers.job import TOPICS, decoder, keys
from agents.tools.demo.bench_events import bench_events
from agents.tools.demo.generator import generate
from agents.tools.oracle import Interactions, expect


def test_peers_make_the_oracles_interactions_of_benchmark_events() -> None:
    chunks = list(bench_events(3_000, 20))
    wanted = expect((chunk.event, record) for chunk in chunks for record in chunk.records())
    found: Interactions = {}
    for chunk in chunks:
        decode = decoder(chunk.event)
        for value in chunk.values:
            _fold(found, chunk.event, decode(value))
    assert found == wanted


def test_peers_make_the_oracles_interactions_of_a_day() -> None:
    chunks = [c for c in generate(events=3_000).chunks() if c.event in TOPICS and not c.rejected]
    avro = [chunk for chunk in chunks if chunk.values[0][0] == 0]
    wanted = expect((chunk.event, record) for chunk in avro for record in chunk.records())
    found: Interactions = {}
    for chunk in avro:
        for value in chunk.values:
            _fold(found, chunk.event, decoder(chunk.event)(value))
    assert found == wanted


def test_every_event_of_a_crowd_is_an_interaction_of_its_own() -> None:
    chunks = list(crowd("one", 40_001))
    wanted = expect((chunk.event, record) for chunk in chunks for record in chunk.records())
    assert len(wanted) == sum(len(chunk.values) for chunk in chunks) == 40_001
    assert {key[0] for key in wanted} == {"campaign:one"}


def _fold(into: Interactions, event: str, record: dict[str, object]) -> None:
    time = record["time"]
    assert isinstance(time, int)
    for key in keys(event, record):
        first, last = into.get(key, (time, time))
        into[key] = min(first, time), max(last, time)
