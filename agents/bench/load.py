"""A producer as a process of its own: offers benchmark events at a rate until it is ended.

Run as `python -m agents.bench.load` with --rate, --sources and --events; the settings are those
of its environment. It ends by itself when the events are out.
"""

import argparse
import asyncio

from agents.demo.bench_events import bench_events
from agents.publish import publish
from streams.settings import load

__all__ = ["run"]


def run() -> None:
    """Publish at the rate that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--sources", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    given = parser.parse_args()
    # small chunks, so that all event types are offered at all times
    events = bench_events(given.events, given.sources, chunk=max(100, int(given.rate / 20)))
    published = asyncio.run(publish(load(), events, rate=given.rate))
    print(f"{published.events} events, {published.per_second:.0f} a second")


if __name__ == "__main__":
    run()
