"""What producers and operators do in a run: events, definitions, commands, and the passing of time.

`meanings` has, for the bytes of each record value that a producer wrote, the event that it is; None
for bytes that are no event. The checker reads the simulated log with it, and so decodes nothing.
"""

import asyncio
import json
from random import Random
from typing import TYPE_CHECKING, Any

from agents.users.partition import partition_of_user
from schemas.records import codec
from tests.sim.reached import reached

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Workload", "sources_of", "users_of"]

DAY_MS = 86_400_000
#: Of the settings of every run.
RETENTION_DAYS = 30
SEGMENTS = ("segment:one", "segment:two")
_KINDS = ("send", "send", "send", "open", "open", "click", "variant", "conversion", "signal")
_CHANNELS = ("EMAIL", "PUSH", "SMS")
_STATUSES = ("ACTIVE", "STOPPED", "STOPPED", "STOPPED", "ARCHIVED", "DRAFT")
_COMMANDS = (
    *("restore", "restore", "restore", "expire", "expire", "hold", "unhold", "cancel"),
    *("pause", "resume", "confirm", "imported", "nonsense"),
)
_JUMPS_DAYS = (1, 8, 25, 31, 31, 40, 40, 95)
_BURST = 6
#: After 30 days a request is forgotten, and its id may be used again.
_REMEMBERED_DAYS = 20
_GARBAGE = (b"", b"\0", b"{", b"{}", b"\0\0\0\0\x07zz")


def sources_of(count: int) -> list[str]:
    """The names of so many sources."""
    return [f"{('campaign', 'canvas')[n % 2]}:s{n}" for n in range(count)]


def users_of(count: int) -> list[str]:
    """The names of so many users, some of 24 hex digits."""
    return [f"{n * 7919:024x}" if n % 3 else f"user-{n}" for n in range(count)]


class Workload:
    """All that comes from outside of the workers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        plan = world.plan
        self.sources = sources_of(plan.sources)
        self.users = users_of(plan.users)
        self.meanings: dict[bytes, tuple[str, dict[str, Any]] | None] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        self.commands: dict[bytes, dict[str, Any]] = {}
        self.asked: dict[str, int] = {}
        self._sent: list[tuple[str, int, bytes]] = []
        self._numbers = 0

    async def run(self) -> None:
        """Everything, spread over the busy phase."""
        plan = self._world.plan
        async with asyncio.TaskGroup() as group:
            group.create_task(self.spread("events", plan.events, self._events, _BURST / 2))
            group.create_task(self.spread("definitions", plan.definitions, self._definition))
            group.create_task(self.spread("commands", plan.commands, self._command))
            group.create_task(self.spread("jumps", plan.jumps, self._jump))
            if plan.user_records or plan.erasures:
                group.create_task(self._world.people.run())

    async def spread(self, name: str, count: int, act: Any, each: float = 1.0) -> None:
        """`act(random, left)` some times over the phase, until `count` is reached; it returns how
        much it did, `each` on average.
        """
        random = self._world.loop.stream(f"workload/{name}")
        busy_s, left = self._world.plan.busy_s, count
        while left > 0:
            await asyncio.sleep(random.expovariate(1.2 * max(1.0, count / each) / busy_s))
            left -= act(random, left)

    # -- events

    def _events(self, random: Random, left: int) -> int:
        """Some events at once: a batch for each topic and partition."""
        count = min(left, random.randint(1, _BURST))
        batches: dict[tuple[str, int], list[bytes]] = {}
        for _ in range(count):
            topic, partition, value = self._event(random)
            batches.setdefault((topic, partition), []).append(value)
        for placed, values in batches.items():
            self._world.produce(placed, [(b"key", value) for value in values])
        return count

    def _event(self, random: Random) -> tuple[str, int, bytes]:
        if self._sent and random.random() < 0.1:
            reached("workload: event repeated")
            return random.choice(self._sent)
        world = self._world
        kind = random.choice(_KINDS)
        event = self._made(random, kind)
        user = event.get("user_id", "")
        topic = world.topics.event(kind)
        partition = partition_of_user(user, world.plan.partitions)
        if random.random() < 0.08:
            reached("workload: event misplaced")
            partition = random.randrange(world.plan.partitions)
        if random.random() < 0.05:
            reached("workload: garbage")
            value = random.choice((*_GARBAGE, random.randbytes(20)))
            self.meanings.setdefault(value, None)
            return topic, partition, value
        as_json = random.random() < 0.3
        value = json.dumps(event).encode() if as_json else codec.encode(kind, event)
        self.meanings[value] = (kind, event)
        sent = topic, partition, value
        self._sent.append(sent)
        return sent

    def _made(self, random: Random, kind: str) -> dict[str, Any]:
        self._numbers += 1
        now = self._world.clock.now_ms()
        time = now - random.choice((0, 0, 1000, DAY_MS, 40 * DAY_MS, 200 * DAY_MS))
        if random.random() < 0.02:
            reached("workload: event of a wrong time")
            time = random.choice((1_700_000_000, now + 3 * DAY_MS))
        event: dict[str, Any] = {
            "id": f"event-{self._numbers}",
            "user_id": random.choice(self.users),
            "time": time - random.randrange(1000),
        }
        if kind == "signal":
            return event | {"signal_type": random.choice(("HARD_BOUNCE", "FEED_VIEW", "OTHER"))}
        source = random.choice((*self.sources, *self.sources, None))
        if random.random() < 0.03:
            reached("workload: event of a source that nobody defined")
            source = f"campaign:stranger{random.randrange(3)}"
        if source is None:
            pass
        elif source.startswith("campaign:"):
            event["campaign_id"] = source.partition(":")[2]
            if kind != "conversion":
                event["message_variation_id"] = random.choice((None, "v1", "v2"))
        else:
            event["canvas_id"] = source.partition(":")[2]
            event["canvas_step_id"] = random.choice((None, "step1"))
        if kind in ("send", "open", "click"):
            event["channel"] = random.choice(_CHANNELS)
        if kind == "click":
            event["link_alias"] = random.choice((None, "home"))
        if kind == "variant":
            event["in_control_group"] = random.random() < 0.3
        if kind == "conversion":
            event["conversion_behavior_index"] = random.choice((None, 1))
        return event

    # -- definitions

    def _definition(self, random: Random, left: int) -> int:
        world = self._world
        key = random.choice(SEGMENTS if random.random() < 0.15 else self.sources)
        if random.random() < 0.06:
            reached("workload: definition deleted")
            world.produce((world.topics.catalog, 0), [(key.encode(), None)])
            return 1
        record: dict[str, Any] = {
            "key": key,
            "kind": key.partition(":")[0],
            "name": key,
            "status": random.choice(_STATUSES),
            "tags": [random.choice(("x", "y"))] if random.random() < 0.3 else [],
            "updated_at": world.clock.now_ms(),
        }
        if random.random() < 0.3:
            record["filters"] = json.dumps(self._use(random))
        if random.random() < 0.1:
            record["references"] = [random.choice(self.sources)]
        if record["status"] in ("STOPPED", "ARCHIVED") and random.random() < 0.3:
            record["stopped_at"] = world.clock.now_ms() - random.randrange(60 * DAY_MS)
        value = codec.encode("definition", record)
        if random.random() < 0.04:
            reached("workload: unreadable definition")
            value = b"\0garbage"
        world.produce((world.topics.catalog, 0), [(key.encode(), value)])
        return 1

    def _use(self, random: Random) -> dict[str, Any]:
        """A filter about a source or a segment."""
        if random.random() < 0.3:
            return {"filter": "in_segment", "segment": random.choice(SEGMENTS).partition(":")[2]}
        source = random.choice(self.sources)
        kind, _, name = source.partition(":")
        if kind == "campaign":
            return {"filter": "received_from_campaign", "campaign": name}
        return {"filter": "received_from_step", "canvas": name, "step": "step1"}

    # -- commands

    def _command(self, random: Random, left: int) -> int:
        world = self._world
        now = world.clock.now_ms()
        recent = [name for name, at in self.asked.items() if now - at < _REMEMBERED_DAYS * DAY_MS]
        if recent and random.random() < 0.1:
            reached("workload: command repeated")
            self.write_command(self.requests[random.choice(recent)])
            return 1
        if random.random() < 0.04:
            reached("workload: unreadable command")
            world.produce((world.topics.control, 0), [(b"x", b"\0garbage")])
            return 1
        kind = random.choice(_COMMANDS)
        count = random.choice((1, 1, 2, 3))
        names = random.sample(self.sources, min(count, len(self.sources)))
        if random.random() < 0.1:
            names.append("campaign:unheard-of")
        record: dict[str, Any] = {
            "type": kind,
            "sources": [] if kind in ("pause", "resume", "confirm") else names,
            "tag": "x" if random.random() < 0.1 and kind == "restore" else None,
            "users": [],
            "dry_run": random.random() < 0.1,
            "request_id": f"request-{len(self.requests)}",
            "requested_by": "somebody",
            "notify_email": None,
            "notify": ["ada@example.com"] if random.random() < 0.5 else [],
            "reason": None,
        }
        self.ask(record)
        return 1

    def ask(self, record: dict[str, Any]) -> None:
        """Write a command with a request id of its own."""
        self.requests[record["request_id"]] = record
        self.asked[record["request_id"]] = self._world.clock.now_ms()
        self.write_command(record)

    def write_command(self, record: dict[str, Any]) -> None:
        """Write a command, or write it again."""
        world = self._world
        value = codec.encode("command", record)
        self.commands[value] = record
        world.produce((world.topics.control, 0), [(record["request_id"].encode(), value)])

    # -- time

    def _jump(self, random: Random, left: int) -> int:
        self._world.pass_days(random.choice(_JUMPS_DAYS))
        return 1
