"""What is true at any moment of a run: computed from the history of the simulated log alone.

A shard's truth at a cursor is what the contract makes of the events below the cursor. The rules are
those of `agents.tools.oracle`, which shares no code with the workers.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from agents.tools.oracle import Expected, Interactions, refusal
from agents.users.partition import partition_of_user
from streams.state import keys
from tests.sim.history import Committed

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Moment", "ShardTruth", "Window", "truths"]


class Window(NamedTuple):
    """A stretch of a run, by how many batches each changelog partition had at its beginning and at
    its end.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


class Moment(NamedTuple):
    """A committed step that moved the cursor."""

    batch: int
    marker: int
    cursor: Mapping[str, int]


class Happened(NamedTuple):
    """One event that counts, where the shard reads it."""

    topic: str
    offset: int
    kind: str
    event: Mapping[str, Any]


class ShardTruth:
    """The truth about one shard."""

    def __init__(self, world: "World", partition: int) -> None:
        self._world = world
        self.partition = partition
        self._rows: dict[int, Interactions] = {}
        self._seen: dict[int, set[str]] = {}

    @cached_property
    def moments(self) -> list[Moment]:
        """The beginning, then all committed steps that moved the cursor, in order."""
        found = [Moment(-1, -1, {})]
        for record in self._committed(self._world.topics.changelog):
            if record.key == keys.CURSOR and record.value is not None:
                cursor = json.loads(record.value)["offsets"]
                found.append(Moment(record.batch, record.marker, cursor))
        return found

    def within(self, window: Window) -> range:
        """The numbers of the moments that an answer may show.

        The owner applies a step when its commit is acknowledged, so the last step before the
        question may be missing. A step counts from its records on: its marker may come later.
        """
        before, after = window.before[self.partition], window.after[self.partition]
        done = [n for n, moment in enumerate(self.moments) if moment.marker < before]
        last = max((n for n, moment in enumerate(self.moments) if moment.batch < after), default=0)
        return range(max(0, len(done) - 2), last + 1)

    def rows(self, moment: int) -> Interactions:
        """All interactions at a moment, of every source."""
        if moment not in self._rows:
            expected = Expected()
            for one in self.happened(moment):
                expected.add(one.kind, one.event)
            self._rows[moment] = expected.interactions
            self._seen[moment] = expected.users
        return self._rows[moment]

    def users(self, moment: int) -> set[str]:
        """The users of whom the shard knows."""
        self.rows(moment)
        return self._seen[moment]

    def happened(self, moment: int) -> list[Happened]:
        """The events below the cursor of a moment."""
        cursor = self.moments[moment].cursor
        return [one for one in self.everything if one.offset < cursor.get(one.topic, 0)]

    @cached_property
    def everything(self) -> list[Happened]:
        """All events that ever count in this shard."""
        world = self._world
        found: list[Happened] = []
        for topic in (*world.topics.events.values(), world.topics.repartition):
            for record in self._committed(topic):
                meaning = world.workload.meanings.get(record.value or b"")
                if meaning is None:
                    continue
                kind, event = meaning
                stamp = record.stamp_ms
                if topic == world.topics.repartition:
                    stamp = int(record.headers["stamp"])
                elif partition_of_user(event["user_id"], world.plan.partitions) != self.partition:
                    continue
                if refusal(event, stamp) is None:
                    found.append(Happened(topic, record.offset, kind, event))
        return found

    def _committed(self, topic: str) -> list[Committed]:
        return self._world.history.committed(self._world.kafka, (topic, self.partition))


def truths(world: "World") -> list[ShardTruth]:
    """Of every shard, as of now."""
    return [ShardTruth(world, partition) for partition in range(world.plan.partitions)]
