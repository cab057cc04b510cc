"""What is true of persons who may have several ids, over all shards, at moments of a window.

The merges of an answer are those of one moment of each shard, and its rows those of the same moment
or of a later one (docs/merged-users.md). So an answer is true if it is true for some such moments.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice, product
from typing import Any, NamedTuple

from agents.tools.oracle import Interactions
from agents.users.facts import ArchivedUser, UserFacts
from agents.users.partition import partition_of_user
from schemas.tables.interaction import KEY
from tests.rigs.filters import brute
from tests.sim.identities import ending, merges_in
from tests.sim.matching import events_of, matching, sources_in
from tests.sim.people import Said
from tests.sim.reached import reached
from tests.sim.truth import ShardTruth
from tests.sim.wide_rows import PROFILE

__all__ = ["Persons"]

#: So many combinations of moments are tried; beyond that an answer counts as true.
_MOST = 400

BySource = Mapping[str, Interactions]
SourceTest = Callable[[str], bool]


class _Merges(NamedTuple):
    """The merges of all shards; `since` has the moment of each shard from which on it has them."""

    into: dict[str, str]
    since: tuple[int, ...]

    def members(self, person: str) -> list[str]:
        found = {user for user in self.into if ending(user, self.into) == person}
        return sorted({person, *found})

    @property
    def everybody(self) -> set[str]:
        """All who take part."""
        return {*self.into, *self.into.values()}


class _Moment(NamedTuple):
    """Of one shard: of its rows, and what its roster says of some users, then or later."""

    rows: int
    roster: Mapping[str, Said]


class Persons:
    """Judges the answers of one window. `visible` and `hidden` say of a source whether it may have
    been so.
    """

    def __init__(
        self,
        truths: Sequence[ShardTruth],
        moments: Sequence[Sequence[int]],
        visible: SourceTest,
        hidden: SourceTest,
    ) -> None:
        self._truths = truths
        self._moments = moments
        self._visible = visible
        self._hidden = hidden
        self._doubtful = {user for truth in truths for user in truth.unsure}

    @cached_property
    def merges(self) -> list[_Merges]:
        """All merges that an answer may have seen."""
        shards: list[list[tuple[int, dict[str, str]]]] = []
        for truth, moments in zip(self._truths, self._moments, strict=True):
            found: list[tuple[int, dict[str, str]]] = []
            for moment in moments:
                into = merges_in(truth.identities.roster(moment))
                if all(into != known for _, known in found):
                    found.append((moment, into))
            shards.append(found)
        return [
            _Merges(
                {user: into for _, part in parts for user, into in part.items()},
                tuple(moment for moment, _ in parts),
            )
            for parts in product(*shards)
        ]

    # -- audiences

    def audience(self, answer: Collection[str], tree: Mapping[str, Any]) -> str:
        """Whether these are the users who match."""
        found = set(answer)
        for merges in self.merges:
            if merges.into:
                reached("question: merged users in an audience")
            doubtful = self._doubtful_persons(merges)
            members = merges.everybody | doubtful
            candidates = []
            for truth, moments in zip(self._truths, self._moments, strict=True):
                mine = {user for user in found - members if self._in(user, truth)}
                since = merges.since[truth.partition]
                candidates.append(
                    [
                        moment
                        for moment in moments
                        if moment >= since and matching(truth, moment, tree) - members == mine
                    ]
                )
            decided = found & (merges.everybody - doubtful)
            # a shard without members has no part in what is decided for all
            placed = {partition_of_user(user, len(self._truths)) for user in merges.everybody}
            for truth in self._truths:
                if truth.partition not in placed:
                    candidates[truth.partition] = candidates[truth.partition][:1]
            for tried, combination in enumerate(product(*candidates)):
                wanted = self._decided(merges, combination, tree) - doubtful
                if tried >= _MOST or wanted == decided:
                    return ""
        return f"{sorted(found)} is true at no moments, with merges such as {self.merges[-1].into}"

    def _decided(
        self, merges: _Merges, combination: Sequence[int], tree: Mapping[str, Any]
    ) -> set[str]:
        """The persons among the members who match, if all their events had one id."""
        members = merges.everybody
        if not members:
            return set()
        pairs = list(zip(self._truths, combination, strict=True))
        living = {user for truth, moment in pairs for user in truth.users(moment)} & members
        ends = {user: ending(user, merges.into) for user in living}
        named = {user: end for user, end in ends.items() if end is not None and end in living}
        happened = [
            event._replace(user=named[event.user])
            for truth, moment in pairs
            for event in events_of(truth, moment)
            if event.user in named
        ]
        facts = brute.Facts(set(named.values()), happened, sources_in(tree))
        views: Counter[str] = Counter()
        for truth, moment in pairs:
            for user, count in truth.views(moment).items():
                views[named.get(user, "")] += count
        facts.views = views
        return brute.judge(tree, facts, blind=True).users

    def _doubtful_persons(self, merges: _Merges) -> set[str]:
        ends = {ending(user, merges.into) for user in self._doubtful} - {None}
        found = {user for user in merges.everybody if ending(user, merges.into) in ends}
        return self._doubtful | found

    def _in(self, user: str, truth: ShardTruth) -> bool:
        return partition_of_user(user, len(self._truths)) == truth.partition

    # -- profiles

    def profile(self, user: str, facts: UserFacts | None) -> str:
        """Whether this is what is known of the person whom a user has become."""
        rows = _by_source(() if facts is None else (facts.rows,))
        nearest: Any = None
        for merges in self.merges:
            end = ending(user, merges.into)
            if end is None:
                reached("question: merges that lead to nobody")
                if facts is None:
                    return ""
                continue
            members = merges.members(end)
            if self._doubtful.intersection(members):
                return ""
            if len(members) > 1:
                reached("question: profile of merged users")
            for tried, moments in enumerate(self._choices(members, merges)):
                if tried >= _MOST or self._is_person(end, members, moments, facts, rows):
                    return ""
                nearest = self._wanted(members, moments, end)
        found = None if facts is None else (facts.user, facts.others, dict(rows))
        return f"{user} is {found}, true at no moments; the last of them: {dict(nearest or {})}"

    def _is_person(
        self,
        end: str,
        members: Sequence[str],
        moments: Mapping[int, _Moment],
        facts: UserFacts | None,
        rows: BySource,
    ) -> bool:
        shard = partition_of_user(end, len(self._truths))
        roster = moments[shard].roster
        known = end in roster or self._truths[shard].known(end, moments[shard].rows)
        there = known and roster.get(end, {}) is not None
        if facts is None or not there:
            return facts is None and not there
        if facts.user != end or sorted(facts.others) != [one for one in members if one != end]:
            return False
        said = roster.get(end)
        external = None if said is None else said["external_user_id"]
        if (None if facts.person is None else facts.person.external) != external:
            return False
        living = [one for one in members if self._lives(one, moments)]
        wanted = self._wanted(living, moments, end)
        return all(self._shows(source, rows, wanted) for source in wanted.keys() | rows.keys())

    def _shows(self, source: str, rows: BySource, wanted: BySource) -> bool:
        """Whether a profile shows what it may: all rows of a source, or none if it is hidden."""
        same = rows.get(source, {}) == wanted.get(source, {})
        if source == PROFILE:
            return same
        return (same and self._visible(source)) or (source not in rows and self._hidden(source))

    def _lives(self, user: str, moments: Mapping[int, _Moment]) -> bool:
        roster = moments[partition_of_user(user, len(self._truths))].roster
        return roster.get(user, {}) is not None

    # -- what hidden sources have

    def archived(self, facts: UserFacts, found: ArchivedUser) -> str:
        """Whether these are the rows of hidden sources of a person with these ids."""
        if found.damaged:
            return f"{found.damaged} cannot be read"
        members = sorted({facts.user, *facts.others})
        if self._doubtful.intersection(members):
            return ""
        rows = _by_source((found.rows,))
        if rows:
            reached("question: rows in the archive")
        merges = _Merges({}, tuple(moments[0] for moments in self._moments))
        wanted: BySource = {}
        for tried, moments in enumerate(self._choices(members, merges)):
            wanted = self._wanted(members, moments, facts.user)
            if tried >= _MOST or all(
                (rows.get(source, {}) == wanted.get(source, {}) and self._hidden(source))
                or (source not in rows and self._visible(source))
                for source in (wanted.keys() | rows.keys()) - {PROFILE}
            ):
                return ""
        return f"{facts.user} has {dict(rows)}, true at no moments; the last: {dict(wanted)}"

    # -- moments

    def _choices(self, members: Sequence[str], merges: _Merges) -> Iterator[Mapping[int, _Moment]]:
        """The moments that the shards of these users may have answered from."""
        shards: dict[int, list[str]] = defaultdict(list)
        for user in members:
            shards[partition_of_user(user, len(self._truths))].append(user)
        options = [
            [(shard, one) for one in self._options(shard, users, merges.since[shard])]
            for shard, users in sorted(shards.items())
        ]
        for chosen in islice(product(*options), _MOST + 1):
            yield dict(chosen)

    def _options(self, shard: int, users: Sequence[str], since: int) -> list[_Moment]:
        truth, found = self._truths[shard], list[_Moment]()
        moments = [moment for moment in self._moments[shard] if moment >= since]
        rosters = []
        for moment in moments:
            roster = truth.identities.roster(moment)
            rosters.append({user: roster[user] for user in users if user in roster})
        for at, moment in enumerate(moments):
            # who somebody is, is read after the rows
            for later, roster in enumerate(rosters[at:]):
                if not later or roster != rosters[at + later - 1]:
                    found.append(_Moment(moment, roster))
        return found

    def _wanted(self, members: Iterable[str], moments: Mapping[int, _Moment], end: str) -> BySource:
        """The rows of these users by source, under one id."""
        found: dict[str, Interactions] = defaultdict(dict)
        theirs: dict[int, set[str]] = defaultdict(set)
        for user in members:
            theirs[partition_of_user(user, len(self._truths))].add(user)
        for shard, users in theirs.items():
            moment = moments[shard].rows
            for table in (self._truths[shard].rows(moment), self._truths[shard].wide(moment)):
                for key, span in table.items():
                    if key[1] in users:
                        _add(found[key[0]], (key[0], end, *key[2:]), span)
        return found


def _by_source(frames: Iterable[Any]) -> BySource:
    found: dict[str, Interactions] = defaultdict(dict)
    for frame in frames:
        for *key, first, last in frame.select(*KEY, "first", "last").iter_rows():
            _add(found[key[0]], tuple(key), (first, last))
    return found


def _add(rows: Interactions, key: Any, span: tuple[int, int]) -> None:
    known = rows.get(key, span)
    rows[key] = (min(known[0], span[0]), max(known[1], span[1]))
