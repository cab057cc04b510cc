"""What producers and operators do about users in a run: records of the topic `users`, with merges
that come and go, and commands that erase users and hold sources.

It draws from streams of its own, so that runs without it are as they would be if it did not exist.
"""

import asyncio
import json
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from agents.users.partition import partition_of_user
from schemas.records import codec
from tests.sim.reached import reached

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["People", "Said"]

Said = Mapping[str, Any] | None
"""A record of the topic `users`; None for a deletion."""

DAY_MS = 86_400_000
_COMMANDS = (*("erase",) * 7, "hold", "unhold", "unhold")
#: After 30 days a request is forgotten, and its id may be used again.
_REMEMBERED_DAYS = 20
_GARBAGE = (b"", b"{", b'{"user_id": 5}', b"\0\0\0\0\x07zz")


class People:
    """`records` has the meaning of each value that was written to the topic `users`, and `erased`
    the users whom each request names.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.records: dict[bytes, Said] = {}
        self.erased: dict[str, tuple[str, ...]] = {}
        self._numbers = 0

    @property
    def users(self) -> list[str]:
        """All users, some of whom are in no event."""
        return [*self._world.workload.users, "silent-1", "silent-2"]

    async def run(self) -> None:
        """Everything, spread over the busy phase."""
        plan = self._world.plan
        workload = self._world.workload
        async with asyncio.TaskGroup() as group:
            group.create_task(workload.spread("people", plan.user_records, self._record))
            group.create_task(workload.spread("erasures", plan.erasures, self._command))
        if plan.erasures and self._world.loop.stream("people/release").random() < 0.7:
            # what is held keeps its rows of erased users, and their request stays open
            reached("people: all holds released")
            self._ask("unhold", self._world.workload.sources)

    # -- the topic `users`

    def _record(self, random: Random, left: int) -> int:
        world = self._world
        user = random.choice(self.users)
        partition = partition_of_user(user, world.plan.partitions)
        if self._astray(user):
            reached("people: record misplaced")
            partition = (partition + 1) % world.plan.partitions
        placed = world.topics.users, partition
        if random.random() < 0.05:
            reached("people: garbage")
            world.produce(placed, [(user.encode(), random.choice(_GARBAGE))])
            return 1
        if random.random() < 0.12:
            reached("people: user deleted")
            world.produce(placed, [(user.encode(), None)])
            return 1
        record = self._made(random, user)
        as_json = random.random() < 0.3
        value = json.dumps(record).encode() if as_json else codec.encode("user", record)
        self.records[value] = record
        world.produce(placed, [(user.encode(), value)])
        return 1

    def _astray(self, user: str) -> bool:
        """Whether all records of a user are in a wrong partition: so they keep their order."""
        return self._world.plan.partitions > 1 and sum(user.encode()) % 5 == 0

    def _made(self, random: Random, user: str) -> dict[str, Any]:
        self._numbers += 1
        into = None
        if random.random() < 0.45:
            into = random.choice([one for one in (*self.users, "nobody") if one != user])
            reached("people: user merged")
        return {
            "user_id": user,
            "external_user_id": f"external-{self._numbers}",
            "aliases": [],
            "merged_into": into,
            "user_aliases": [],
        }

    # -- commands

    def _command(self, random: Random, left: int) -> int:
        workload = self._world.workload
        now = self._world.clock.now_ms()
        recent = [
            name for name in self.erased if now - workload.asked[name] < _REMEMBERED_DAYS * DAY_MS
        ]
        if recent and random.random() < 0.1:
            reached("people: command repeated")
            workload.write_command(workload.requests[random.choice(recent)])
            return 1
        kind = random.choice(_COMMANDS)
        if kind == "erase":
            self._erase(random)
            return 1
        legal = kind == "hold" and random.random() < 0.5
        sources = random.sample(workload.sources, 1)
        self._ask(kind, sources, legal=legal, reason="a case" if legal else None)
        return 0

    def _erase(self, random: Random) -> None:
        users = random.sample(self.users, random.choice((1, 1, 2, 3)))
        named = list(users)
        key = self._world.erasure_key
        if key is not None and random.random() < 0.5:
            named = key.sealed(users, self._world.plan.partitions)
        request = self._ask("erase", (), users=named, dry_run=random.random() < 0.1)
        reached("people: erasure asked")
        self.erased[request] = tuple(users)

    def _ask(self, kind: str, sources: Any, **fields: Any) -> str:
        workload = self._world.workload
        record: dict[str, Any] = {
            "type": kind,
            "sources": list(sources),
            "tag": None,
            "users": [],
            "dry_run": False,
            "request_id": f"people-{len(workload.requests)}",
            "requested_by": "somebody",
            "notify_email": None,
            "notify": [],
            "reason": None,
            **fields,
        }
        workload.ask(record)
        return str(record["request_id"])
