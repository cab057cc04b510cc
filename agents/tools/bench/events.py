"""`bench events`: what many listeners of GET /events cost ingest, and the age of what they see."""

from collections.abc import Callable
from dataclasses import dataclass

from agents.tools.bench.beside import Clients, measured_beside
from agents.tools.bench.field import Ground
from agents.tools.bench.figures import BenchReport, Sample
from agents.tools.bench.machine import facts

__all__ = ["EventsOptions", "events"]


@dataclass(frozen=True, slots=True)
class EventsOptions:
    """The events of one backlog, the listeners, the state changes a second, and how long the
    listeners listen at least.
    """

    events: int = 1_000_000
    sources: int = 40
    listeners: int = 1_000
    sample: int = 20
    changes: int = 20
    seconds: float = 10.0
    partitions: int = 4
    runs: int = 1


async def events(where: Ground, options: EventsOptions, say: Callable[[str], None]) -> BenchReport:
    """Measure; `say` gets progress messages."""
    settings = {name: getattr(options, name) for name in options.__slots__}
    report = BenchReport("events", settings, facts())

    def seen(found: dict[str, float], cpu: float, peak: int) -> Sample | None:
        if "oldest_s" not in found or not found["states"]:
            return None
        oldest = found.pop("oldest_s")
        say(f"oldest state seen: {oldest:.2f} s")
        return Sample(oldest, int(found["states"]), cpu, peak, found)

    listeners = Clients(
        "listeners",
        "agents.tools.bench.listeners",
        {"listeners": options.listeners, "sample": options.sample},
        f"{options.listeners:,} listeners connect",
        seen,
    )
    measured = await measured_beside(where, options, listeners, say)
    measured.into(report, "listeners", "oldest_state_seen")
    report.notes += [
        "cpu_with_listeners: the worker's CPU for an event alone over that with listeners; other "
        "work of the machine changes it less than the rates",
        f"one worker takes in {options.events:,} events that become readable at once, by the "
        "commit of one transaction; seconds run from that commit to the last committed cursor; "
        "every backlog has the same users and sources at later times",
        f"all the time {options.changes} sources a second are held or let go by commands; alone is "
        "measured before and after the listeners",
        f"oldest_state_seen: the age of states, from `updated_at` of the record to the receipt, by "
        f"{options.sample} of the listeners; the others only read; cpu and memory of this line are "
        "those of the listeners' process; lost counts streams that ended",
    ]
    return report
