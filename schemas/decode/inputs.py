"""The topics that a shard reads, by name. The topic of a record decides what kind of record it is,
and which mapping it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # commands that only name topics need no Polars, which mappings do
    from schemas.mapping.topics import TopicMappings

__all__ = ["Inputs"]


@dataclass(frozen=True)
class Inputs:
    """Names of topics. Names are compared as a whole, because a prefix may end in any character or
    be empty.

    `events` gives the kind of event by topic. `repartition` has misplaced records of all other
    topics. `mappings` say what records of other programs become, by kind.
    """

    events: Mapping[str, str]
    users: str
    repartition: str
    mappings: "TopicMappings" = field(default_factory=dict)
