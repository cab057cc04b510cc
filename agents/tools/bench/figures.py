"""The results of a benchmark: samples of single runs, summarised as one object and as a table."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BenchReport", "Measurement", "Sample", "Spread"]

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of several runs."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """The spread of at least one value."""
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    def as_json(self) -> dict[str, float]:
        """`{median, min, max}`, four significant digits."""
        return {name: _round(getattr(self, name)) for name in ("median", "min", "max")}


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: `events` processed in `seconds`, with `cpu` seconds and at most `rss` bytes.

    `cpu` and `rss` are sums over all measured processes; None if they were not measured. `facts`
    are further numbers by name, such as `p99_s`.
    """

    seconds: float
    events: int = 0
    cpu: float | None = None
    rss: int | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The runs of one case. `rate` says whether its figure is events a second or seconds."""

    samples: Sequence[Sample]
    rate: bool = True

    def figure(self) -> Spread:
        """Events a second, or seconds."""
        if self.rate:
            return Spread.of(sample.events / sample.seconds for sample in self.samples)
        return Spread.of(sample.seconds for sample in self.samples)

    def cpu_us_per_event(self) -> float | None:
        """Median microseconds of CPU for each event, over all measured processes."""
        costs = [s.cpu / s.events * 1e6 for s in self.samples if s.cpu is not None and s.events]
        return statistics.median(costs) if costs else None

    def rss_mb(self) -> float | None:
        """The highest peak of resident memory in any run, in megabytes."""
        peaks = [sample.rss for sample in self.samples if sample.rss is not None]
        return max(peaks) / _MB if peaks else None

    def facts(self) -> dict[str, float]:
        """The median of every further number that all runs have."""
        names = set.intersection(*(set(sample.facts) for sample in self.samples))
        return {
            name: statistics.median(sample.facts[name] for sample in self.samples)
            for name in sorted(names)
        }

    def as_json(self) -> dict[str, Any]:
        """The object under `results`."""
        found: dict[str, Any] = {
            "events_per_s" if self.rate else "seconds": self.figure().as_json(),
            "cpu_us_per_event": _maybe(self.cpu_us_per_event()),
            "rss_mb": _maybe(self.rss_mb()),
            "runs": len(self.samples),
        }
        if self.samples[0].events:
            found["events"] = self.samples[0].events
        return found | {name: _round(value) for name, value in self.facts().items()}


@dataclass(slots=True)
class BenchReport:
    """A whole benchmark, filled as its runs end."""

    benchmark: str
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    results: dict[str, Measurement] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    agree: dict[str, bool] = field(default_factory=dict)
    kept: dict[str, bool] = field(default_factory=dict)
    """Whether each limit was kept."""

    def as_json(self) -> dict[str, Any]:
        """One object: benchmark, settings, machine, results, ratios, agree, kept,
        notes.
        """
        return {
            "benchmark": self.benchmark,
            "settings": dict(self.settings),
            "machine": dict(self.machine),
            "results": {name: found.as_json() for name, found in self.results.items()},
            "ratios": {name: _round(ratio) for name, ratio in self.ratios.items()},
            "agree": dict(self.agree),
            "kept": dict(self.kept),
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """The same for people: fixed columns, medians with their range."""
        lines = [
            f"benchmark {self.benchmark}   "
            + "  ".join(f"{name}={value}" for name, value in self.settings.items()),
            "machine   " + "  ".join(f"{name}: {value}" for name, value in self.machine.items()),
            "",
            f"{'':24}{'median':>14}{'min':>14}{'max':>14}{'':>10}{'cpu us/ev':>11}{'peak MB':>9}",
        ]
        for name, found in self.results.items():
            spread = found.figure()
            shown = [_show(value) for value in (spread.median, spread.min, spread.max)]
            cpu, rss = found.cpu_us_per_event(), found.rss_mb()
            lines.append(
                f"{name:24}{shown[0]:>14}{shown[1]:>14}{shown[2]:>14}"
                f"{'events/s' if found.rate else 's':>10}"
                f"{_show(cpu):>11}{_show(rss):>9}"
            )
            extra = "  ".join(f"{fact} {_show(value)}" for fact, value in found.facts().items())
            if extra:
                lines.append(f"{'':24}  {extra}")
        lines.append("")
        lines += [f"ratio {name:18}{_show(ratio):>14}" for name, ratio in self.ratios.items()]
        lines += [
            f"state {name:18}{'equal to the oracle' if same else 'DIFFERS FROM THE ORACLE':>26}"
            for name, same in self.agree.items()
        ]
        lines += [
            f"limit {name}: {'kept' if kept else 'MISSED'}" for name, kept in self.kept.items()
        ]
        lines += [f"note  {note}" for note in self.notes]
        return "\n".join(lines)


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def _maybe(value: float | None) -> float | None:
    return None if value is None else _round(value)


def _show(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
