"""Faults that the simulation must find: each replaces a function by what it was before its mend, or
by what it must never become. The history of the project names most of them.
"""

from tests.sim.planted import answers, decisions, people, recovery, shard_work
from tests.sim.planted.planting import PLANTED, Planted, planted

__all__ = [
    "PLANTED",
    "Planted",
    "answers",
    "decisions",
    "people",
    "planted",
    "recovery",
    "shard_work",
]
