"""What is true at any moment of a run: computed from the history of the simulated log alone.

A shard's truth at a cursor is what the contract makes of the events below the cursor. The rules are
those of `agents.tools.oracle`, which shares no code with the workers.
"""

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from agents.tools.oracle import Expected, Interactions, refusal
from agents.users.partition import partition_of_user
from streams.state import keys
from tests.sim.history import Committed
from tests.sim.identities import Hidden, Identities, Spoken
from tests.sim.wide_rows import wide_rows

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Moment", "ShardTruth", "Window", "truths"]

#: The letter of what a shard keeps of a request that erases users.
_ERASURE = b"j"


class Window(NamedTuple):
    """A stretch of a run, by how many batches each changelog partition had at its beginning and at
    its end.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]


class Moment(NamedTuple):
    """A committed step that moved the cursor, or that hid the users of a request."""

    batch: int
    marker: int
    cursor: Mapping[str, int]
    request: str | None = None


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
        self._wide: dict[int, Interactions] = {}
        #: The last moment before each time at which nothing hot was left of erased users.
        self._clean_at: list[int] = []

    @cached_property
    def moments(self) -> list[Moment]:
        """The beginning, then all committed steps that count, in order."""
        found = [Moment(-1, -1, {})]
        erasing: set[str] = set()
        self._clean_at.clear()
        for record in self._committed(self._world.topics.changelog):
            key, value = record.key or b"", record.value
            if key == keys.CURSOR and value is not None:
                cursor = json.loads(value)["offsets"]
                found.append(Moment(record.batch, record.marker, cursor))
            elif key == keys.ERASURE_MARKS and value is not None:
                marks = json.loads(value)
                if marks["hot"] == marks["generation"]:
                    self._clean_at.append(len(found) - 1)
            elif keys.kind(key) == _ERASURE:
                request = keys.name(key)
                if value is None:
                    erasing.discard(request)
                elif request not in erasing:
                    erasing.add(request)
                    cursor = found[-1].cursor
                    found.append(Moment(record.batch, record.marker, cursor, request))
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

    def wide(self, moment: int) -> Interactions:
        """All rows of the profile-wide table at a moment."""
        if moment not in self._wide:
            events = ((one.kind, one.event) for one in self.happened(moment))
            self._wide[moment] = wide_rows(events)
        return self._wide[moment]

    def views(self, moment: int) -> Counter[str]:
        """How often each user has viewed the feed, each event once: erased users lose what was read
        before they came back.
        """
        found: Counter[str] = Counter()
        for one, read in self._views:
            absence = self.identities.absence(one.event["user_id"], moment)
            back = absence is None or (absence.back_at is not None and read >= absence.moment)
            if read <= moment and back:
                found[one.event["user_id"]] += 1
        return found

    @cached_property
    def _views(self) -> list[tuple[Happened, int]]:
        """All feed views, each event when it was first read."""
        first: dict[str, tuple[Happened, int]] = {}
        for one in self.everything:
            if one.kind == "signal" and one.event["signal_type"] == "FEED_VIEW":
                name, read = one.event["id"], self._read_at(one)
                if name not in first or read < first[name][1]:
                    first[name] = one, read
        return [*first.values()]

    def users(self, moment: int) -> set[str]:
        """The users whom an audience may have: those of events and of the roster, without those who
        were deleted.
        """
        self.rows(moment)
        roster = self.identities.roster(moment)
        deleted = {user for user, said in roster.items() if said is None}
        return (self._seen[moment] | roster.keys()) - deleted

    def known(self, user: str, moment: int) -> bool:
        """Whether the shard knows anything of a user."""
        self.rows(moment)
        return user in self._seen[moment] or user in self.identities.roster(moment)

    def happened(self, moment: int) -> list[Happened]:
        """The events below the cursor of a moment that count: not those of erased users."""
        read = self.read(moment)
        if not self.identities.absences:
            return read
        counts = self.identities.counts
        return [
            one
            for one in read
            if counts(one.event["user_id"], self._read_at(one), one.event["time"], moment)
        ]

    def read(self, moment: int) -> list[Happened]:
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
                if meaning is None or _of_users(world, topic, record):
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

    @cached_property
    def identities(self) -> Identities:
        """Who its users are."""
        return Identities.of(self._spoken(), self._hidden())

    @cached_property
    def hidden_at(self) -> dict[str, int]:
        """The first moment at which the users of each request are hidden."""
        found: dict[str, int] = {}
        for number, moment in enumerate(self.moments):
            if moment.request is not None:
                found.setdefault(moment.request, number)
        return found

    @cached_property
    def merged(self) -> bool:
        """Whether any of its users was ever merged."""
        said = (one.said for spoken in self.identities.spoken.values() for one in spoken)
        return any(one is not None and one["merged_into"] is not None for one in said)

    @cached_property
    def doubtful(self) -> set[str]:
        """The users with an event that may count or not: see `Identities.doubtful`."""
        identities, clean_at = self.identities, self._clean_at
        found: set[str] = set()
        for one in self.everything if identities.absences else ():
            user, read = one.event["user_id"], self._read_at(one)
            if identities.doubtful(user, read, one.event["time"]) or (
                one.kind == "signal" and identities.counted_late(user, read, clean_at)
            ):
                found.add(user)
        return found

    @cached_property
    def unsure(self) -> set[str]:
        """The users whose events an answer may have or not: doubtful ones, and those who were once
        merged into a user who is erased at some time. Their record becomes a deletion while that
        request is under way, which only the shard can date (agents/shard/jobs/unmerge.py).
        """
        people, requests = self._world.people, self._world.workload.requests
        erased = {
            user
            for name, users in people.erased.items()
            if not requests[name]["dry_run"]
            for user in users
        }
        return self.doubtful | {
            one.user
            for spoken in self.identities.spoken.values()
            for one in spoken
            if one.said is not None and one.said["merged_into"] in erased
        }

    def _spoken(self) -> Iterator[Spoken]:
        world, people = self._world, self._world.people
        for topic in (world.topics.users, world.topics.repartition):
            for record in self._committed(topic):
                if not _of_users(world, topic, record):
                    continue
                user = (record.key or b"").decode()
                if record.value is not None and record.value not in people.records:
                    continue  # garbage
                stamp = record.stamp_ms
                if topic == world.topics.repartition:
                    stamp = int(record.headers["stamp"])
                elif partition_of_user(user, world.plan.partitions) != self.partition:
                    continue
                said = None if record.value is None else people.records[record.value]
                read = self._moment_of(topic, record.offset)
                yield Spoken(read, topic, record.offset, user, said, stamp)

    def _hidden(self) -> Iterator[Hidden]:
        orders = _orders(self._world) if self._world.people.erased else {}
        times: dict[str, int] = defaultdict(int)
        for number, moment in enumerate(self.moments):
            if moment.request is None:
                continue
            given = orders[moment.request]
            at = given[min(times[moment.request], len(given) - 1)]
            times[moment.request] += 1
            users = self._world.people.erased[moment.request]
            mine = [one for one in users if self._mine(one)]
            yield Hidden(number, at, moment.request, mine)

    def _mine(self, user: str) -> bool:
        return partition_of_user(user, self._world.plan.partitions) == self.partition

    def _read_at(self, one: Happened) -> int:
        return self._moment_of(one.topic, one.offset)

    def _moment_of(self, topic: str, offset: int) -> int:
        """The moment with which a record was read."""
        if topic not in self._cursors:
            self._cursors[topic] = [moment.cursor.get(topic, 0) for moment in self.moments]
        return bisect_right(self._cursors[topic], offset)

    @cached_property
    def _cursors(self) -> dict[str, list[int]]:
        return {}

    def _committed(self, topic: str) -> list[Committed]:
        return self._world.history.committed(self._world.kafka, (topic, self.partition))


def truths(world: "World") -> list[ShardTruth]:
    """Of every shard, as of now."""
    return [ShardTruth(world, partition) for partition in range(world.plan.partitions)]


def _of_users(world: "World", topic: str, record: Committed) -> bool:
    """Whether a record is one of the topic `users`, or was handed on from there."""
    if topic == world.topics.repartition:
        return record.headers.get("topic") == world.topics.users.encode()
    return topic == world.topics.users


def _orders(world: "World") -> dict[str, list[int]]:
    """The moments of each request that erases users: one that is repeated when it was forgotten is
    another request.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for record in world.history.committed(world.kafka, (world.topics.coordinator, 0)):
        key = (record.key or b"").decode(errors="replace")
        if key.startswith("e/") and record.value is not None:
            at = json.loads(record.value)["time"]
            if at not in found[key[2:]]:
                found[key[2:]].append(at)
    return found
