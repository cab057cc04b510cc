"""A producer in a separate process: offers benchmark events at a rate until it is stopped.

Run as `python -m agents.tools.bench.endless` with --rate, --sources and --pool; settings come from
its environment. A pool of events is published again and again, each time as new events: with other
ids and later times. So the number of interactions is bounded, however long it runs.
"""

import argparse
import asyncio
from collections.abc import Iterator
from itertools import count

from agents.tools.bench.load import lot
from agents.tools.demo.bench_events import STEP_MS, bench_events
from agents.tools.demo.chunk import EventChunk, avro_chunk
from agents.tools.publish import publish
from streams.settings import load

__all__ = ["endless", "renewed", "run"]

_STAMP = 8


def renewed(chunk: EventChunk, number: int, later_ms: int) -> EventChunk:
    """The same events with other ids, different for each `number`, and times this much later."""
    stamp = f"{number:0{_STAMP}x}"
    columns = dict(chunk.columns)
    columns["id"] = [stamp + one[_STAMP:] for one in columns["id"]]
    columns["time"] = [one + later_ms for one in columns["time"]]
    return avro_chunk(chunk.event, columns)


def endless(pool: int, sources: int, chunk: int) -> Iterator[EventChunk]:
    """The events of a pool, `chunk` at a time, then the same as new events, and so on for ever.

    No two of all events have one id.
    """
    made = list(bench_events(pool, sources, chunk=chunk))
    for number in count():
        for each in made:
            yield renewed(each, number, number * pool * STEP_MS)


def run() -> None:
    """Publish at the rate that the command line gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--sources", type=int, required=True)
    parser.add_argument("--pool", type=int, required=True)
    given = parser.parse_args()
    events = endless(given.pool, given.sources, lot(given.rate))
    asyncio.run(publish(load(), events, rate=given.rate))


if __name__ == "__main__":
    run()
