"""The topics that a shard reads, by name. The topic of a record decides what kind of record
it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Inputs"]


@dataclass(frozen=True)
class Inputs:
    """Names of topics. Names are compared as a whole, because a prefix may end in any character or
    be empty.

    `events` gives the kind of event by topic. `repartition` has misplaced records of all other
    topics.
    """

    events: Mapping[str, str]
    users: str
    repartition: str
