"""The phases of one shard's life, and the transitions between them."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["IllegalTransition", "ShardLife", "ShardPhase"]


class ShardPhase(StrEnum):
    """The current phase of a shard.

        STARTING ──> RECOVERING ──> RUNNING
                         │             │
                         └──> STOPPED <┘

    STARTING: created, `run` was not called yet. RECOVERING: it fences the former owner, reads the
    changelog, and moves to its cursor. RUNNING: it ingests, works and answers. STOPPED: it has
    failed or was cancelled, and closes its resources. STOPPED is final: the supervisor creates a
    new shard. The proof that a running shard is still the owner is not a phase, because it is
    needed again after every generation of the group (`Store.owned`).
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
    """A transition to a phase that cannot follow the present one: a defect of this program."""


class ShardLife:
    """The phase of one shard, changed by legal transitions only."""

    def __init__(self) -> None:
        self.phase = ShardPhase.STARTING

    def enter(self, phase: ShardPhase) -> None:
        """Change to `phase`. Raises IllegalTransition, and nothing changes."""
        if phase not in _LEGAL[self.phase]:
            raise IllegalTransition(f"a shard that is {self.phase} cannot become {phase}")
        self.phase = phase
