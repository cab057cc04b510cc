"""The phases of one shard's life, and the transitions between them."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["IllegalTransition", "ShardLife", "ShardPhase"]


class ShardPhase(StrEnum):
    """What a shard does at the moment.

        STARTING ──> RECOVERING ──> RUNNING
                         │             │
                         └──> STOPPED <┘

    STARTING: made, `run` was not called yet. RECOVERING: it fences the former owner, reads the
    changelog, and goes to its cursor. RUNNING: it ingests, works and answers. STOPPED: it has
    failed or was cancelled, and closes what it holds. STOPPED is final: the supervisor makes a new
    shard. Whether a running shard has proven that it is still the owner is no phase: that
    changes with every generation of the group (`Store.owned`).
    """

    STARTING = "starting"
    RECOVERING = "recovering"
    RUNNING = "running"
    STOPPED = "stopped"


_LEGAL: Mapping[ShardPhase, frozenset[ShardPhase]] = {
    ShardPhase.STARTING: frozenset({ShardPhase.RECOVERING}),
    ShardPhase.RECOVERING: frozenset({ShardPhase.RUNNING, ShardPhase.STOPPED}),
    ShardPhase.RUNNING: frozenset({ShardPhase.STOPPED}),
    ShardPhase.STOPPED: frozenset(),
}


class IllegalTransition(RuntimeError):
    """A phase was to follow another that it cannot follow: a defect of this program."""


class ShardLife:
    """The phase of one shard, changed by legal transitions only."""

    def __init__(self) -> None:
        self.phase = ShardPhase.STARTING

    def enter(self, phase: ShardPhase) -> None:
        """Change to `phase`. Raises IllegalTransition, and nothing changes."""
        if phase not in _LEGAL[self.phase]:
            raise IllegalTransition(f"a shard that is {self.phase} cannot become {phase}")
        self.phase = phase
