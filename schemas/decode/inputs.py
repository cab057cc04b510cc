"""The topics that a shard reads, by their names: what a record is, its topic decides."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Inputs"]


@dataclass(frozen=True)
class Inputs:
    """Names of topics, each compared whole: a prefix may end in any character or be empty.

    `events` gives the kind of event by topic. Through `repartition` come misplaced records of
    all the others.
    """

    events: Mapping[str, str]
    users: str
    repartition: str
