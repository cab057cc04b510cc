"""A producer in a separate process: offers benchmark events at a rate until it is stopped.

Run as `python -m agents.tools.bench.load` with --rate, --sources, --events and --every, the seconds
between two lots of events; settings come from its environment. All events are made before the first
is offered, because making them would take CPU from the measured worker. It ends by itself when all
events are sent.
"""

import argparse
import asyncio

from agents.tools.demo.bench_events import bench_events
from agents.tools.publish import publish
from streams.settings import load

__all__ = ["lot", "run"]

_EVERY_S = 0.05


def lot(rate: float, every_s: float = _EVERY_S) -> int:
    """How many events are made together: few, so that all event types are offered at all times."""
    return max(100, int(rate * every_s))


def run() -> None:
    """Publish at the rate that the command line gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--sources", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    given = parser.parse_args()
    made = bench_events(given.events, given.sources, chunk=lot(given.rate, given.every))
    events = list(made)
    published = asyncio.run(publish(load(), events, rate=given.rate))
    print(f"{published.events} events, {published.per_second:.0f} a second")


if __name__ == "__main__":
    run()
