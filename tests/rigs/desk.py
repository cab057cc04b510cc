"""The coordinator's rules without Kafka: a clock, the state, and all outputs."""

import json
from collections.abc import Sequence
from typing import Any

from agents.coordinator.rules import ledger
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.inputs import CommandRead, DefinitionRead, Input, ReportRead, Tick
from agents.coordinator.rules.outputs import Output
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.state import CoordinatorState, Source
from schemas.records import codec
from schemas.records.lifecycle import Command, Definition, Phase, Report, ReportItem, State, Status
from streams.period import parse

START = 1_700_000_000_000
DAY = 86_400_000
MONTH3 = 92 * DAY

_PHASES = {State.EXPIRING: Phase.EXPIRED, State.RESTORING: Phase.RESTORED}


def checksum(number: int) -> str:
    """A segment checksum."""
    return f"{number:032x}"


class Desk:
    """Takes inputs one by one, at `now`, and keeps the outputs."""

    def __init__(self, **policy: Any) -> None:
        facts: dict[str, Any] = {
            "partitions": 2,
            "expiring_soon": (parse("P30D"), parse("P7D")),
            "sweep_interval_ms": DAY,
            "sweep_confirm_share": 1.0,
        }
        self.policy = Policy(**(facts | policy))
        self.state = CoordinatorState()
        self.now = START
        self.said: list[Output] = []
        self.log: list[ledger.LogEntry] = []
        self._requests = 0

    def take(self, *inputs: Input) -> list[Output]:
        """Decide, check that every output can be written, and remember it."""
        decision = decide(self.state, inputs, self.now, self.policy)
        for output in decision.outputs:
            codec.decode(codec.encode(output.schema, output.record), output.schema)
        self.state = decision.state
        self.log += ledger.entries(decision)
        self.said += decision.outputs
        return list(decision.outputs)

    def restart(self) -> None:
        """Forget everything but the coordinator topic."""
        self.state = ledger.load(
            _compacted(self.log), segments_are_roots=self.policy.segments_are_roots
        )

    def define(self, key: str, status: str = "ACTIVE", **facts: Any) -> list[Output]:
        """A definition is read; `filters` may be given as a tree."""
        if isinstance(facts.get("filters"), dict):
            facts["filters"] = json.dumps(facts["filters"])
        return self.take(DefinitionRead(key, Definition(key, Status(status), **facts)))

    def delete(self, key: str) -> list[Output]:
        """A deletion is read."""
        return self.take(DefinitionRead(key, None))

    def command(self, kind: str, *sources: str, **facts: Any) -> list[Output]:
        """A command is read; without a request id it gets one of its own."""
        self._requests += 1
        facts.setdefault("request_id", f"r{self._requests}")
        position = f"control-0-{self._requests}"
        return self.take(CommandRead(Command(kind, tuple(sources), **facts), position))

    def report(
        self,
        source: str,
        partition: int,
        *,
        phase: Phase | None = None,
        version: int | None = None,
        **sizes: Any,
    ) -> list[Output]:
        """One shard reports that it has done what the source's state asks for."""
        found = self.state.sources.get(source)
        if phase is None:
            phase = _PHASES[self.source(source).state]
        if version is None:
            version = found.version if found else 0
        sizes.setdefault("checksum", checksum(partition + 1))
        sizes = {"interactions": 10, "bytes": 100, "segments": 1} | sizes
        item = ReportItem(source, version, phase, **sizes)
        return self.take(ReportRead(Report(partition, (item,))))

    def finish(self, source: str, **sizes: Any) -> list[Output]:
        """All shards report."""
        said = []
        for partition in range(self.policy.partitions):
            said += self.report(source, partition, **sizes)
        return said

    def tick(self, after: int = 0, skew_ms: int | None = 0) -> list[Output]:
        """Time passes (milliseconds), and the coordinator looks at the clock."""
        self.now += after
        return self.take(Tick(skew_ms))

    def source(self, name: str) -> Source:
        """The coordinator's record of a source."""
        return self.state.sources[name]

    def expired(self, name: str = "campaign:a", **facts: Any) -> Source:
        """Define a source, stop it, and let it expire."""
        self.define(name, "STOPPED", **facts)
        self.tick(MONTH3 + DAY)
        self.finish(name)
        assert self.source(name).state is State.EXPIRED
        return self.source(name)


def of(said: Sequence[Output], topic: str) -> list[dict[str, Any]]:
    """The records for one topic."""
    return [dict(output.record) for output in said if output.topic == topic]


def outcomes(said: Sequence[Output], source: str | None) -> list[tuple[str, str | None]]:
    """The results of one source (or of the whole request): outcome and code."""
    results = of(said, "control_results")
    return [(one["outcome"], one["code"]) for one in results if one["source"] == source]


def decisions(said: Sequence[Output]) -> list[str]:
    """The audited decisions, in order."""
    return [str(record["decision"]) for record in of(said, "audit")]


def _compacted(log: Sequence[ledger.LogEntry]) -> list[ledger.LogEntry]:
    kept: dict[str, bytes | None] = {}
    for key, value in log:
        kept.pop(key, None)
        kept[key] = value
    return list(kept.items())
