"""What one run does: drawn from its seed, and made smaller to find what a failure needs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Any, Self

from tests.sim.faults import DRAWN

__all__ = ["RunPlan"]

_WORKERS = (1, 2, 2, 2, 3)
_PARTITIONS = (1, 2, 2, 3)
_FAULT_COUNTS = (0, 1, 2, 2, 3, 3, 4, 5, 6)
_COUNTED = (
    *("questions", "commands", "events", "definitions", "jumps"),
    *("person_questions", "erasures", "user_records"),
)
#: One seed in so many has records of users, merges and erasures.
_WITH_PEOPLE = 3


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How much of each kind a run has. `busy_s` is the length of the phase with faults, in virtual
    seconds.
    """

    seed: int
    workers: int = 1
    partitions: int = 1
    busy_s: float = 60.0
    events: int = 10
    definitions: int = 4
    commands: int = 1
    questions: int = 0
    jumps: int = 1
    users: int = 8
    sources: int = 4
    user_records: int = 0
    erasures: int = 0
    person_questions: int = 0
    faults: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

    @classmethod
    def draw(cls, seed: int) -> Self:
        """What the seed says."""
        random = Random(f"{seed}/plan")
        count = random.choice(_FAULT_COUNTS)
        faults = tuple(sorted(random.sample(sorted(DRAWN), min(count, len(DRAWN)))))
        people = _people(seed)
        return cls(
            seed,
            workers=random.choice(_WORKERS),
            partitions=random.choice(_PARTITIONS),
            busy_s=random.choice((20.0, 40.0, 60.0)),
            events=random.choice((10, 20, 50, 120)),
            definitions=random.randint(3, 16),
            commands=random.randint(0, 10),
            questions=random.choice((0, 5, 15, 30)),
            jumps=random.randint(1, 5),
            users=random.choice((2, 5, 20)),
            sources=random.randint(1, 6),
            user_records=people.get("user_records", 0),
            erasures=people.get("erasures", 0),
            person_questions=people.get("person_questions", 0),
            faults=faults,
            settings={
                "segment_rows": random.choice((2, 5, 20)),
                "own_rows": random.choice((1, 3, 10)),
                "fan_in": random.choice((2, 3)),
                "delta_rows": random.choice((3, 10, 60)),
                "late_rows": random.choice((1, 3, 50)),
                "step_bytes": random.choice((1, 2_000, 100_000)),
                "sweep_confirm_share": random.choice((0.3, 0.7, 1.0, 1.0)),
                "segments_are_roots": random.random() < 0.8,
                "restore_on_resume": random.random() < 0.8,
                "release": random.choice(("retention-after-last-use", "at-next-sweep")),
            },
        )

    def smaller(self) -> Iterator["RunPlan"]:
        """Plans with less, the boldest first."""
        for fault in self.faults:
            yield replace(self, faults=tuple(one for one in self.faults if one != fault))
        for name in _COUNTED:
            count = getattr(self, name)
            for less in dict.fromkeys((0, count // 2, count - 1)):
                if 0 <= less < count:
                    yield replace(self, **{name: less})
        if self.workers > 1:
            yield replace(self, workers=self.workers - 1)
        if self.partitions > 1:
            yield replace(self, partitions=self.partitions - 1)
        if self.users > 2:
            yield replace(self, users=self.users // 2)
        if self.sources > 1:
            yield replace(self, sources=self.sources - 1)
        if self.busy_s > 5:
            yield replace(self, busy_s=self.busy_s / 2)
        if self.settings:
            for name in self.settings:
                rest = {one: value for one, value in self.settings.items() if one != name}
                yield replace(self, settings=rest)

    @property
    def weight(self) -> float:
        """Something that is less for a smaller plan."""
        counted: int = sum(getattr(self, name) for name in _COUNTED)
        return counted + 20 * len(self.faults) + 10 * self.workers + self.busy_s

    def changes(self) -> str:
        """The difference to what the seed draws, as an argument for the command line."""
        drawn, mine = asdict(RunPlan.draw(self.seed)), asdict(self)
        changed = {name: mine[name] for name in mine if mine[name] != drawn[name]}
        return json.dumps(changed, separators=(",", ":")) if changed else ""

    @classmethod
    def changed(cls, seed: int, changes: str) -> Self:
        """Inverse of `changes`."""
        found = json.loads(changes) if changes else {}
        unknown = found.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(f"a plan has no {', '.join(sorted(unknown))}")
        if "faults" in found:
            found["faults"] = tuple(found["faults"])
        return replace(cls.draw(seed), **found)


def _people(seed: int) -> dict[str, int]:
    """What is drawn for users, from a stream of its own: other seeds are as they would be without
    it.
    """
    random = Random(f"{seed}/people")
    if random.randrange(_WITH_PEOPLE):
        return {}
    return {
        "user_records": random.choice((4, 10, 20, 40)),
        "erasures": random.choice((0, 1, 2, 3, 5)),
        "person_questions": random.choice((0, 5, 15, 30)),
    }
