"""The results of the demo: the facts that it prints, and every claim with its check."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.tools.demo.screen import Screen
from agents.tools.oracle import Interactions, Key

__all__ = ["Facts", "difference", "to_try"]


@dataclass
class Facts:
    """The demo's result. It is successful if every claim is true."""

    events: int = 0
    interactions: int = 0
    rejected: int = 0
    forwarded: int = 0
    expired: list[str] = field(default_factory=list)
    exempt: dict[str, str] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)
    rows_equal: bool = False
    seconds: float = 0.0
    claims: dict[str, bool] = field(default_factory=dict)

    def claim(self, screen: Screen, what: str, good: bool, found: str = "") -> None:
        """Store and show a claim that was just checked; `found` describes a difference."""
        self.claims[what] = good
        screen.tick(what if good or not found else f"{what}: {found}", good)

    @property
    def good(self) -> bool:
        """Whether every claim is true."""
        return bool(self.claims) and all(self.claims.values())

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "events": self.events,
            "interactions": self.interactions,
            "rejected": self.rejected,
            "forwarded": self.forwarded,
            "expired": self.expired,
            "exempt": self.exempt,
            "restored": self.restored,
            "rows_equal": self.rows_equal,
            "seconds": round(self.seconds, 1),
            "claims": self.claims,
        }


def to_try(facts: Facts, names: Mapping[str, str]) -> list[str]:
    """What to do on the page after the demo: on sources that are there, by their names."""
    # what was restored expires again soon: one that stays expired is named if there is one
    expired = [source for source in facts.expired if source not in facts.restored] or facts.expired
    shown = [
        ("open {}, which has expired, and restore it", expired[:1]),
        ("open {}, which has stopped, and see why it stays hot", list(facts.exempt)[:1]),
    ]
    found = [text.format(names.get(one) or one) for text, sources in shown for one in sources]
    return [*found, "build an audience, and see its count while you build"]


def difference(found: Interactions, expected: Interactions) -> str:
    """The difference of two sets of rows, with an example; empty if they are equal."""
    if found == expected:
        return ""
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    other = [key for key in expected if key in found and found[key] != expected[key]]
    example: Key = (missing or extra or other)[0]
    shown = json.dumps({"key": example, "found": found.get(example), "expected":
                        expected.get(example)})  # fmt: skip
    return (
        f"{len(missing)} rows missing, {len(extra)} too many, {len(other)} with other times, "
        f"such as {shown}"
    )
