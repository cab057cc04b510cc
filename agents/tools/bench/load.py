"""A producer as a process of its own: offers benchmark events at a rate until it is ended.

Run as `python -m agents.tools.bench.load` with --rate, --sources, --events and --every, the seconds
between two lots of them; the settings are those of its environment. Events are made before the
first is offered, as making them would take from what is measured. It ends by itself when they
are out.
"""

import argparse
import asyncio

from agents.tools.demo.bench_events import bench_events
from agents.tools.publish import publish
from streams.settings import load

__all__ = ["run"]


def run() -> None:
    """Publish at the rate that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--sources", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    given = parser.parse_args()
    # small chunks, so that all event types are offered at all times
    chunk = max(100, int(given.rate * given.every))
    events = list(bench_events(given.events, given.sources, chunk=chunk))
    published = asyncio.run(publish(load(), events, rate=given.rate))
    print(f"{published.events} events, {published.per_second:.0f} a second")


if __name__ == "__main__":
    run()
