"""Who the users of a shard are at any moment: the roster, who was erased, and who has come back.

Computed from the commands that asked for erasures and from the records of the topic `users`, by the
rules of docs/erasure.md and docs/merged-users.md, without code of the workers. Of the workers'
records only the moment counts at which a shard has hidden the users of a request, and the moment
that the coordinator gave the order.
"""

import itertools
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.sim.people import Said

__all__ = ["Hidden", "Identities", "Spoken", "ending", "merges_in"]

#: So many merges in a row are followed.
_MOST_MERGES = 16


class Spoken(NamedTuple):
    """A record of the topic `users`, in the moment in which its shard has read it. `stamp_ms` is
    its time in Kafka.
    """

    moment: int
    topic: str
    offset: int
    user: str
    said: Said
    stamp_ms: int


class Hidden(NamedTuple):
    """From a moment on a shard hides users of a request that was ordered at `at`."""

    moment: int
    at: int
    request: str
    users: Sequence[str]


class Absence(NamedTuple):
    """From a moment on a user is erased; or is back since a record of that time, which is the
    record of that number among those of the user.
    """

    moment: int
    erased_at: int
    back_at: int | None = None
    back_from: int = 0


@dataclass
class Identities:
    """Of one shard. `spoken` has the records of each user in their order."""

    spoken: Mapping[str, Sequence[Spoken]]
    absences: Mapping[str, Sequence[Absence]]
    _rosters: dict[int, dict[str, Said]] = field(default_factory=dict)

    @classmethod
    def of(cls, spoken: Iterable[Spoken], hidden: Iterable[Hidden]) -> "Identities":
        """From what was said and hidden, each in order."""
        by_user: dict[str, list[Spoken]] = defaultdict(list)
        for one in spoken:
            by_user[one.user].append(one)
        named: dict[str, list[Hidden]] = defaultdict(list)
        for order in hidden:
            for user in order.users:
                named[user].append(order)
        absences = {
            user: found
            for user, orders in named.items()
            if (found := _absences(orders, by_user.get(user, ())))
        }
        return cls(by_user, absences)

    def absence(self, user: str, moment: int) -> Absence | None:
        """The last one that has begun; None for a user who was never erased until then."""
        found = self.absences.get(user, ())
        at = bisect_right(found, moment, key=lambda one: one.moment)
        return found[at - 1] if at else None

    def counts(self, user: str, read: int, time: int, moment: int) -> bool:
        """Whether an event of a user, read in the moment `read`, counts at a later moment."""
        absence = self.absence(user, moment)
        if absence is None:
            return True
        if absence.back_at is None:
            return False
        return read > absence.moment and time >= absence.back_at

    def doubtful(self, user: str, read: int, time: int) -> bool:
        """Whether an event is from after a return of its user, and was read before that or with
        it: it may count.
        """
        return any(
            one.back_at is not None and read <= one.moment and time >= one.back_at
            for one in self.absences.get(user, ())
        )

    def counted_late(self, user: str, read: int, clean_at: Sequence[int]) -> bool:
        """Whether a feed view was read with a return of its user, or later, before the shard was
        clean of what was counted before the erasure: it may be lost with that.
        """
        for gone, back in itertools.pairwise(self.absences.get(user, ())):
            if back.back_at is not None:
                clean = min((at for at in clean_at if at >= gone.moment), default=read)
                if back.moment <= read <= max(clean, back.moment):
                    return True
        return False

    def roster(self, moment: int) -> Mapping[str, Said]:
        """The last record of each user that counts; None for a deletion."""
        if moment not in self._rosters:
            found: dict[str, Said] = {}
            for user, records in self.spoken.items():
                absence = self.absence(user, moment)
                since = 0
                if absence is not None:
                    since = len(records) if absence.back_at is None else absence.back_from
                read = bisect_right(records, moment, key=lambda one: one.moment)
                if read > since:
                    found[user] = records[read - 1].said
            self._rosters[moment] = found
        return self._rosters[moment]


def _absences(orders: Sequence[Hidden], records: Sequence[Spoken]) -> list[Absence]:
    found: list[Absence] = []
    steps: list[tuple[int, int, Hidden | Spoken]] = [
        *((order.moment, 0, order) for order in orders),
        *((record.moment, number, record) for number, record in enumerate(records)),
    ]
    for moment, number, step in sorted(steps, key=lambda each: each[:2]):
        last = found[-1] if found else None
        if isinstance(step, Hidden):
            # an order that is read twice does not erase a user who has come back since
            if last is None or last.erased_at < step.at:
                found.append(Absence(moment, step.at))
        elif step.said is not None and last is not None and last.back_at is None:
            at = last.erased_at
            found += [Absence(moment, at, step.stamp_ms, number)] if step.stamp_ms > at else []
    return found


def merges_in(roster: Mapping[str, Said]) -> dict[str, str]:
    """Each user whose last record says that the user was merged into another."""
    return {
        user: into
        for user, said in roster.items()
        if said is not None and (into := said.get("merged_into")) and into != user
    }


def ending(user: str, merges: Mapping[str, str]) -> str | None:
    """Where the merges of a user end; None if they do not, or are too many."""
    for _ in range(_MOST_MERGES + 1):
        if user not in merges:
            return user
        user = merges[user]
    return None
