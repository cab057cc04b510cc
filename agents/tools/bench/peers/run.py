"""Runs a peer: starts its processes, follows their progress, reads the final state."""

import asyncio
import importlib.util
import sys
import time
from pathlib import Path

from agents.tools.bench.field import Field
from agents.tools.bench.figures import Sample
from agents.tools.bench.peers.progress import Progress
from agents.tools.process import Child
from schemas.errors import Fatal

__all__ = ["available", "run"]

_POLL_S = 0.05
_DEADLINE_S = 900.0


def available(package: str) -> bool:
    """Whether a peer's package is installed (the extra `bench`)."""
    # Faust puts a module without a spec in its own place once it has been imported.
    return package in sys.modules or importlib.util.find_spec(package) is not None


async def run(field: Field, peer: str, events: int, processes: int = 1) -> Sample:
    """One run of `peer` (a module of this package) over the `events` events of the field.

    The time is from the first to the last processed event, without the commits after it, which
    favours the peer. The CPU is that of its processes without the interpreter's start. Raises Fatal
    if a process fails or the deadline of 15 minutes passes.
    """
    folder = field.folder / peer
    folder.mkdir()
    files = [folder / f"progress-{number}" for number in range(processes)]
    meters = [Progress(file) for file in files]
    children = [
        Child(_command(field, peer, events, file), folder / f"{file.name}.log", field.environment())
        for file in files
    ]
    try:
        deadline = time.monotonic() + _DEADLINE_S
        idle = 0.0
        while sum(progress.read().events for progress in meters) < events:
            for child in children:
                child.check()
            if time.monotonic() > deadline:
                raise Fatal(
                    f"{peer} has handled {[p.read().events for p in meters]} of {events} events",
                    remedy=f"See {folder} or measure with fewer events",
                )
            if not any(progress.read().first for progress in meters):
                idle = sum(child.cpu() for child in children if child.running())
            await asyncio.sleep(_POLL_S)
        cpu = sum(child.cpu() for child in children if child.running()) - idle
        peak = sum(child.peak() for child in children if child.running())
    finally:
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in children))
    readings = [progress.read() for progress in meters]
    first = min(reading.first for reading in readings if reading.events)
    last = max(reading.last for reading in readings)
    handled = sum(reading.events for reading in readings)
    return Sample(last - first, handled, cpu, peak)


def _command(field: Field, peer: str, events: int, file: Path) -> list[str]:
    settings = field.settings
    given = {
        "bootstrap": settings.bootstrap_servers,
        "prefix": settings.prefix,
        "partitions": settings.partitions,
        "events": events,
        "progress": file,
        "data": file.with_suffix(".data"),
    }
    command = [sys.executable, "-m", f"agents.tools.bench.peers.{peer}"]
    return command + [part for name, value in given.items() for part in (f"--{name}", str(value))]
