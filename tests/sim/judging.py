"""Whether an answer was true.

An answer is true if each shard's part of it is what the shard's events made at some moment between
the question and the answer, all of a source or none of it; a refusal is right if its reason held at
some moment in between.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agents.audience.audience import RefusedAnswer
from agents.scatter.errors import HiddenSource, UnknownSource
from agents.supervision.shard_manager import SourceSize
from agents.tools.oracle import Interactions
from agents.users.facts import UserFacts
from agents.users.partition import partition_of_user
from schemas.records import codec
from schemas.records.lifecycle import HIDDEN, Outcome, SourceState
from schemas.tables.interaction import KEY
from tests.sim.matching import kinds_of, matching, named_in, source_of
from tests.sim.persons import Persons
from tests.sim.reached import reached
from tests.sim.truth import ShardTruth, Window
from tests.sim.wide_rows import PROFILE

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Asked", "FiguresFound", "Judge", "States", "erasures_told"]

_DAY_MS = 86_400_000
States = Mapping[str, list[tuple[int, SourceState]]]


@dataclass
class Asked:
    """One question, and what became of it. `seen` and `written`: the next offset of
    `lifecycle.state` to be read at the question, and the log's end at the answer. `told`: where
    `control.results` ended at the question.
    """

    what: str
    about: Any
    process: str
    at_s: float
    seen: int
    told: int
    before: tuple[int, ...]
    window: Window | None = None
    written: int = 0
    answer: Any = None
    refusal: Exception | None = None

    def __str__(self) -> str:
        return f"{self.what} of {self.about} to {self.process} at {self.at_s:.3f} s"


@dataclass(frozen=True, slots=True)
class FiguresFound:
    """One shard's figures of a source."""

    totals: Counter[Any]
    uniques: Mapping[Any, int]


def erasures_told(world: "World") -> dict[str, int]:
    """The offset of the first result of each request by which its users are hidden everywhere."""
    found: dict[str, int] = {}
    for record in world.history.committed(world.kafka, (world.topics.control_results, 0)):
        result: Any = codec.decode(record.value or b"", "result")
        name = result["request_id"]
        if name not in world.people.erased or world.workload.requests[name]["dry_run"]:
            continue
        hidden = result["message"].startswith("hidden in every answer")
        if hidden or result["outcome"] == Outcome.COMPLETED:
            found.setdefault(name, record.offset)
    return found


class Judge:
    """Judges one answer. `erased` as by `erasures_told`."""

    def __init__(
        self,
        asked: Asked,
        truths: Sequence[ShardTruth],
        states: States,
        erased: Mapping[str, int],
    ) -> None:
        self._asked = asked
        self._truths = truths
        self._states = states
        told = {request for request, offset in erased.items() if offset < asked.told}
        self._moments = [self._within(truth, told) for truth in truths]

    def _within(self, truth: ShardTruth, told: Iterable[str]) -> range:
        """The moments that a shard's part may show: none before the erasures that were told."""
        assert self._asked.window is not None
        found = truth.within(self._asked.window)
        hidden = [truth.hidden_at[one] for one in told if one in truth.hidden_at]
        return range(max([found.start, *hidden]), found.stop)

    @cached_property
    def _persons(self) -> Persons:
        return Persons(self._truths, self._moments, self._visible, self._hidden)

    def judge(self) -> str:
        """What is wrong with the answer; empty if nothing is."""
        asked = self._asked
        if asked.refusal is not None:
            return self._refused(asked.refusal)
        reached(f"question answered: {asked.what}")
        if any(len(moments) > 2 for moments in self._moments):
            reached("question: events came meanwhile")
        judging: dict[str, Callable[[Any, Any], str]] = {
            "rows": self._rows,
            "audience": self._audience,
            "users": self._users,
            "figures": self._figures,
            "persons": self._resolved,
            "archived": self._archived,
            "sizes": self._sizes,
        }
        return judging[asked.what](asked.about, asked.answer)

    def _known(self, source: str) -> list[SourceState | None]:
        """What the worker may have known of a source between question and answer."""
        records = self._states.get(source, [])
        seen = [state for offset, state in records if offset < self._asked.seen]
        later = [s for offset, s in records if self._asked.seen <= offset < self._asked.written]
        return [seen[-1] if seen else None, *later]

    def _hidden(self, source: str) -> bool:
        return any(one is not None and one.state in HIDDEN for one in self._known(source))

    def _visible(self, source: str) -> bool:
        return any(one is None or one.state not in HIDDEN for one in self._known(source))

    def _refused(self, refusal: Exception) -> str:
        what = type(refusal).__name__
        reached(f"question refused: {what}")
        if isinstance(refusal, HiddenSource) and not self._hidden(refusal.source):
            return f"{refusal}, though it was visible all the time"
        if isinstance(refusal, UnknownSource) and None not in self._known(refusal.source):
            return f"{refusal}, though it was known"
        if isinstance(refusal, RefusedAnswer):
            for one in refusal.refused.refusals:
                for source, _ in one.sources:
                    if not self._hidden(source):
                        return f"{refusal}, though {source} was visible all the time"
        return ""

    def _parts(self, users: Iterable[str]) -> list[set[str]]:
        parts: list[set[str]] = [set() for _ in self._truths]
        for user in users:
            parts[partition_of_user(user, len(parts))].add(user)
        return parts

    def _rows(self, source: str, answer: Interactions) -> str:
        if not self._visible(source):
            return "it was hidden all the time"
        for truth, moments in zip(self._truths, self._moments, strict=True):
            part = {
                key: span
                for key, span in answer.items()
                if partition_of_user(key[1], len(self._truths)) == truth.partition
            }
            wanted = [
                _about(truth, moment, source, deleted)
                for moment in moments
                for deleted in _deleted(truth, range(moments.start, moment + 1))
            ]
            if _sure(truth, part) not in wanted:
                return f"shard {truth.partition}: {_difference(part, wanted)}"
        return ""

    def _audience(self, tree: Mapping[str, Any], answer: list[str]) -> str:
        for source in named_in(tree):
            if not self._visible(source):
                return f"{source} was hidden all the time"
        if len(set(answer)) != len(answer):
            return "a user is in it twice"
        if any(truth.merged or truth.unsure for truth in self._truths):
            return self._persons.audience(answer, tree)
        parts = self._parts(answer)
        for truth, moments in zip(self._truths, self._moments, strict=True):
            wanted = [matching(truth, moment, tree) for moment in moments]
            found = parts[truth.partition]
            if found not in wanted:
                return (
                    f"shard {truth.partition}: {sorted(found)} instead of one of "
                    f"{[sorted(one) for one in wanted][-3:]}"
                )
        return ""

    def _users(self, users: tuple[str, ...], answer: Mapping[str, Any]) -> str:
        for user in users:
            truth = self._truths[partition_of_user(user, len(self._truths))]
            if user in truth.unsure:
                continue
            found: dict[str, Interactions] = defaultdict(dict)
            facts = answer.get(user)
            rows = [] if facts is None else facts.rows.select(*KEY, "first", "last").iter_rows()
            for *key, first, last in rows:
                found[key[0]][tuple(key)] = (first, last)
            if not any(
                self._of_user(user, found, truth, moment)
                for moment in self._moments[truth.partition]
            ):
                last_moment = self._moments[truth.partition][-1]
                wanted = _of_user(user, truth.rows(last_moment)) | _of_user(
                    user, truth.wide(last_moment)
                )
                return f"{user}: {dict(found)} is true at no moment; at the last: {wanted}"
        return ""

    def _of_user(
        self, user: str, found: Mapping[str, Interactions], truth: ShardTruth, moment: int
    ) -> bool:
        """Whether a user's rows are those of one moment: all or none of each source."""
        if found.get(PROFILE, {}) != _of_user(user, truth.wide(moment)):
            return False
        wanted: dict[str, Interactions] = defaultdict(dict)
        for key, span in _of_user(user, truth.rows(moment)).items():
            wanted[key[0]][key] = span
        for source in (wanted.keys() | found.keys()) - {PROFILE}:
            if found.get(source, {}) == wanted.get(source, {}) and self._visible(source):
                continue
            if source not in found and self._hidden(source):
                continue
            return False
        return True

    def _figures(self, source: str, answer: list[FiguresFound]) -> str:
        for truth, moments in zip(self._truths, self._moments, strict=True):
            found = answer[truth.partition]
            wanted = [_counted(truth, moment, source) for moment in moments]
            if found.totals not in wanted:
                return (
                    f"shard {truth.partition}: {dict(found.totals)} instead of one of "
                    f"{[dict(one) for one in wanted][-2:]}"
                )
            # those of an expired source are as they were when it expired
            first = 0 if self._hidden(source) else moments.start
            among = range(moments.stop - 1, first - 1, -1)
            if not truth.doubtful and not any(
                found.uniques == _uniques(truth, moment, source) for moment in among
            ):
                return (
                    f"shard {truth.partition}: {dict(found.uniques)} unique users; at the last "
                    f"moment {_uniques(truth, moments[-1], source)}"
                )
        return ""

    def _resolved(self, users: Sequence[str], answer: Mapping[str, UserFacts | None]) -> str:
        for user in users:
            if wrong := self._persons.profile(user, answer[user]):
                return wrong
        return ""

    def _archived(self, user: str, answer: Any) -> str:
        if answer is None:
            return ""  # nobody is there
        return self._persons.archived(*answer)

    def _sizes(self, sources: Sequence[str], answer: Mapping[str, SourceSize]) -> str:
        """Stored rows are at least those that count, and at most as many as events could make."""
        pairs = list(zip(self._truths, self._moments, strict=True))
        for source in sources:
            size = answer[source]
            least = sum(
                min(sum(key[0] == source for key in truth.rows(moment)) for moment in moments)
                for truth, moments in pairs
            )
            sure = not any(truth.doubtful for truth in self._truths)
            if sure and size.rows + size.archived_rows < least:
                return f"{source} has {size}, fewer rows than the {least} that count"
            days: set[int] = {-1}
            for truth, moments in pairs:
                mine = {_last_day(truth, moment, source) for moment in moments}
                days = {max(one, other) for one in days for other in mine}
            if (-1 if size.last_day is None else size.last_day) not in days:
                return f"{source} has {size}, and the last day is one of {days}"
        return ""


def _about(truth: ShardTruth, moment: int, source: str, deleted: Collection[str]) -> Interactions:
    """The rows of a source, without those of deleted users."""
    return {
        key: span
        for key, span in _sure(truth, truth.rows(moment)).items()
        if key[0] == source and key[1] not in deleted
    }


def _deleted(truth: ShardTruth, moments: Iterable[int]) -> set[frozenset[str]]:
    """Who may have been left out as deleted."""
    rosters = map(truth.identities.roster, moments)
    return {frozenset(user for user, said in each.items() if said is None) for each in rosters}


def _sure(truth: ShardTruth, rows: Interactions) -> Interactions:
    """Without the rows of users of whom nobody can say whether they count."""
    if not truth.unsure:
        return rows
    return {key: span for key, span in rows.items() if key[1] not in truth.unsure}


def _of_user(user: str, rows: Interactions) -> Interactions:
    return {key: span for key, span in rows.items() if key[1] == user}


def _difference(part: Interactions, wanted: list[Interactions]) -> str:
    nearest = min(wanted, key=lambda rows: len(rows.items() ^ part.items()))
    return (
        f"{len(part)} rows, true at none of {len(wanted)} moments; of the nearest it lacks "
        f"{sorted(nearest.items() - part.items(), key=repr)[:3]} and has too many "
        f"{sorted(part.items() - nearest.items(), key=repr)[:3]}"
    )


def _counted(truth: ShardTruth, moment: int, source: str) -> Counter[Any]:
    """How often each thing happened, each event once."""
    found: Counter[Any] = Counter()
    seen: set[str] = set()
    # an erasure leaves the sums as they are
    for one in truth.read(moment):
        if one.event["id"] in seen:
            continue
        seen.add(one.event["id"])
        if source_of(one.event) != source:
            continue
        event = one.event
        variation = event.get("message_variation_id") or event.get("canvas_variation_id")
        channel = event.get("channel") if one.kind in ("send", "open", "click") else None
        detail = None
        if one.kind == "conversion":
            detail = str(event.get("conversion_behavior_index") or 0)
        for kind in kinds_of(one.kind, event):
            day = event["time"] // _DAY_MS
            step = event.get("canvas_step_id")
            found[day, kind, channel, step, variation, detail] += 1
    return found


def _uniques(truth: ShardTruth, moment: int, source: str) -> dict[Any, int]:
    """How many users each thing happened to."""
    met: dict[Any, set[str]] = defaultdict(set)
    for name, user, kind, channel, step, variation, _ in truth.rows(moment):
        if name == source:
            met[kind, channel, step, variation].add(user)
    return {key: len(users) for key, users in met.items()}


def _last_day(truth: ShardTruth, moment: int, source: str) -> int:
    """The last day on which anything happened to a source; -1 if nothing did."""
    events = (one.event for one in truth.read(moment) if one.kind != "signal")
    return max((e["time"] // _DAY_MS for e in events if source_of(e) == source), default=-1)
