"""Assigns shards to the members of the group, from the claims of the members.

The plan is balanced to within one shard, sticky, and the same on every member that computes it.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Claim", "Directory", "GroupPlan", "checked_address", "plan"]

log = logging.getLogger(__name__)

_SHAPE = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9._-]{0,252}):([0-9]{1,5})"
)
_PORTS = range(1, 1 << 16)

_HUGE = 1 << 53
_SHARDS = 1_000_000
_ADDRESS = 300


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of a member when it joins: its shards and address.

    `generation` is the generation that assigned `shards` to it: of two claims on one shard the
    later generation counts. `stored` are the shards of which it has a local store, from now or from
    before: to take such a shard over costs less. A changed `rejoin` makes the group's leader plan
    again.
    """

    address: str
    generation: int = -1
    shards: frozenset[int] = frozenset()
    control: bool = False
    rejoin: int = 0
    stored: frozenset[int] = frozenset()

    def encode(self) -> bytes:
        """The claim as JSON, for the member's metadata."""
        return json.dumps(
            {
                "address": self.address,
                "generation": self.generation,
                "shards": sorted(self.shards),
                "control": self.control,
                "rejoin": self.rejoin,
                "stored": sorted(self.stored),
            }
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Claim":
        """Inverse of `encode`. Raises ValueError for anything else."""
        found = _object(data)
        address, shards = found.get("address"), found.get("shards")
        # workers of an earlier build do not say what they have stored
        control, stored = found.get("control"), found.get("stored", [])
        numbers = found.get("generation"), found.get("rejoin")
        if (
            not isinstance(address, str)
            or not isinstance(shards, list)
            or not isinstance(stored, list)
            or not isinstance(control, bool)
            or not all(type(number) is int and abs(number) < _HUGE for number in numbers)
            or len(address) > _ADDRESS
            or max(len(shards), len(stored)) > _SHARDS
            or not all(type(shard) is int for shard in (*shards, *stored))
        ):
            raise ValueError("no claim of a worker")
        return cls(
            address,
            found["generation"],
            frozenset(shards),
            control,
            found["rejoin"],
            frozenset(stored),
        )


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """An assignment: the member of each shard, and the member with the control partition."""

    shards: Mapping[int, str]
    control: str


@dataclass(frozen=True, slots=True)
class Directory:
    """HTTP addresses of all shards and of the coordinator, from one assignment."""

    shards: Mapping[int, str] = field(default_factory=dict)
    control: str = ""

    def encode(self) -> bytes:
        """The directory as JSON, for every member's assignment."""
        shards = {str(partition): address for partition, address in sorted(self.shards.items())}
        return json.dumps({"shards": shards, "control": self.control}).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Directory":
        """Inverse of `encode`. Without data the directory is empty. An invalid address is left out,
        so that no request is sent to it. Raises ValueError for anything else.
        """
        if not data:
            return cls()
        found = _object(data)
        if not isinstance(found.get("shards"), dict) or "control" not in found:
            raise ValueError("no directory of workers")
        claimed = {str(address) for address in (*found["shards"].values(), found["control"])}
        checked = {address: checked_address(address) for address in claimed}
        shards = {int(p): checked[str(address)] for p, address in found["shards"].items()}
        there = {partition: address for partition, address in shards.items() if address}
        return cls(there, checked[str(found["control"])])


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def plan(members: Mapping[str, Claim], partitions: int) -> GroupPlan:
    """Assign shards 0..`partitions`-1 and control to `members` (at least one).

    As many shards as balance allows stay with their member. Those that must move go to members that
    have them stored, as far as there are such members: a worker that was away for a while gets its
    own back. The result depends only on the arguments, and not on the order of `members`.
    """
    kept = _claims(members, partitions)
    low, extra = divmod(partitions, len(members))
    poor = [member for member in members if len(kept[member]) < low]
    awaited = {partition for member in poor for partition in members[member].stored}
    # the larger quotas go where they save a move, and first where nobody waits for a shard
    ranked = sorted(members, key=lambda m: (-len(kept[m]), len(awaited & {*kept[m]}), m))
    quota = {member: low + (rank < extra) for rank, member in enumerate(ranked)}
    served = {
        member: sorted(kept[member], key=lambda p: (p in awaited, p))[: quota[member]]
        for member in ranked
    }
    free = sorted(set(range(partitions)) - {p for shards in served.values() for p in shards})
    for stored_only in (True, False):
        for member in ranked:
            room = quota[member] - len(served[member])
            fitting = [p for p in free if not stored_only or p in members[member].stored]
            served[member] = served[member] + fitting[:room]
            free = sorted(set(free) - set(fitting[:room]))
    shards = {p: member for member, held in served.items() for p in held}
    control = min(members, key=lambda m: (*_right_to_control(members[m]), len(served[m]), m))
    return GroupPlan(dict(sorted(shards.items())), control)


def _right_to_control(claim: Claim) -> tuple[bool, int]:
    return (False, -claim.generation) if claim.control else (True, 0)


def _claims(members: Mapping[str, Claim], partitions: int) -> dict[str, list[int]]:
    """For each member, the existing shards for which its claim is the best one, in order."""
    right: dict[int, str] = {}
    for member in sorted(members, key=lambda member: (-members[member].generation, member)):
        for partition in members[member].shards:
            if 0 <= partition < partitions:
                right.setdefault(partition, member)
    kept: dict[str, list[int]] = {member: [] for member in members}
    for partition, member in sorted(right.items()):
        kept[member].append(partition)
    return kept


def checked_address(text: object) -> str:
    """Return `http://HOST:PORT` or `https://HOST:PORT` unchanged, and an empty text for anything
    else.

    A member of the group can claim any text. Workers send no request to an address with a user, a
    path, a query or another scheme.
    """
    found = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    if found is not None and int(found[1]) in _PORTS:
        return found[0]
    if text:
        log.warning("a member of the group claims the address %.80r, which is none", text)
    return ""
