"""The result of a verification: findings, figures, and what could not be checked."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.verify.finding import Finding
from agents.verify.kinds import FindingKind

__all__ = ["MOST", "VerifyReport"]

MOST = 1_000
"""Findings of one kind that a report holds; all of them are counted."""


@dataclass
class VerifyReport:
    """What was found.

    `findings` holds at most `MOST` of each kind, `counts` the number of all. `figures` says how
    much was compared. `unchecked` names comparisons that could not be made, and why: these are no
    damage, but they prove nothing either.
    """

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[FindingKind] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    unchecked: list[str] = field(default_factory=list)
    seconds: float = 0.0
    drill_seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.counts

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings in."""
        for one in findings:
            self.counts[one.kind] += 1
            if self.counts[one.kind] <= MOST:
                self.findings.append(one)

    def to_json(self) -> Mapping[str, Any]:
        """For programs."""
        return {
            "whole": self.whole,
            "counts": {kind.value: count for kind, count in sorted(self.counts.items())},
            "findings": [one.to_json() for one in self.findings],
            "unchecked": self.unchecked,
            "figures": dict(sorted(self.figures.items())),
            "seconds": round(self.seconds, 1),
            "drill_seconds": round(self.drill_seconds, 1),
        }
