"""Questions to workers during a run, and whether each answer was true.

An answer is true if each shard's part of it is what the shard's events made at some moment between
the question and the answer, all of a source or none of it; a refusal is right if its reason held at
some moment in between.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from agents.audience.audience import Audience, Question, RefusedAnswer
from agents.filters.parsing import parse
from agents.scatter import people
from agents.scatter.errors import HiddenSource, Unavailable, UnknownSource
from agents.scatter.figures import figures
from agents.scatter.rows import SourceRows
from agents.tools.oracle import Interactions
from agents.users.partition import partition_of_user
from schemas.errors import Recoverable
from schemas.records.lifecycle import HIDDEN, SourceState
from schemas.tables.interaction import KEY
from schemas.tables.profile import PROFILE
from tests.rigs.filters import brute
from tests.sim.reached import reached
from tests.sim.truth import ShardTruth, Window
from tests.sim.worker import Process

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Questions"]

_DAY_MS = 86_400_000
_ASK_S = 60.0
_WHEN = ("2025-06-15T00:00:00Z", "2025-12-31T23:00:00Z", "2026-02-10T12:00:00Z")
States = Mapping[str, list[tuple[int, SourceState]]]


@dataclass
class Asked:
    """One question, and what became of it. `seen` and `written`: the next offset of
    `lifecycle.state` to be read at the question, and the log's end at the answer.
    """

    what: str
    about: Any
    process: str
    at_s: float
    seen: int
    before: tuple[int, ...]
    window: Window | None = None
    written: int = 0
    answer: Any = None
    refusal: Exception | None = None

    def __str__(self) -> str:
        return f"{self.what} of {self.about} to {self.process} at {self.at_s:.3f} s"


@dataclass
class Questions:
    """Asks, and keeps the answers until the run is over."""

    world: "World"
    asked: list[Asked] = field(default_factory=list)

    async def run(self) -> None:
        """Ask all questions of the plan, in the phase with faults."""
        random = self.world.loop.stream("questions")
        plan = self.world.plan
        for _ in range(plan.questions):
            await asyncio.sleep(random.expovariate(1.2 * plan.questions / plan.busy_s))
            processes = list(self.world.running())
            if processes:
                self.ask(random, random.choice(processes))

    async def again(self) -> list[Asked]:
        """Ask everybody everything once the world is quiet: now each must answer. Returns the
        questions that nobody could answer.
        """
        random = self.world.loop.stream("questions/quiet")
        waiting = []
        known = len(self.asked)
        for process in self.world.running():
            for source in self.world.workload.sources:
                waiting.append(self._ask(process, "rows", source))
                waiting.append(self._ask(process, "figures", source))
            waiting.append(self._ask(process, "audience", self._filter(random)))
            waiting.append(self._ask(process, "users", tuple(self.world.workload.users[:20])))
        await asyncio.wait(waiting)
        return [one for one in self.asked[known:] if isinstance(one.refusal, Unavailable)]

    async def follow(self) -> None:
        """Ask about sources just when their state changes, until cancelled."""
        if not self.world.plan.questions:
            return
        random = self.world.loop.stream("questions/follow")
        topic, told = self.world.topics.state, 0
        while True:
            await asyncio.sleep(random.random() * 0.2)
            log = self.world.kafka.log((topic, 0))
            fresh, told = [batch for batch in log.batches if batch.base >= told], log.end
            named = {(entry.key or b"").decode() for batch in fresh for entry in batch.entries}
            for source in sorted(named):
                processes = list(self.world.running())
                if processes and random.random() < 0.5:
                    self.ask(random, random.choice(processes), source)

    def burst(self, random: Random, process: Process) -> None:
        """Some questions at once to a worker that may not know what others have done."""
        if process.runs and self.world.plan.questions:
            for _ in range(random.randint(1, 3)):
                self.ask(random, process)

    def ask(self, random: Random, process: Process, source: str | None = None) -> None:
        """One question, about a source if it is given."""
        world = self.world
        kind = random.choice(("rows", "rows", "audience", "audience", "users", "figures"))
        about: Any
        if kind == "audience":
            about = self._filter(random) if source is None else self._leaf(random, source)
        elif kind == "users":
            users = world.workload.users
            about = tuple(sorted(random.sample(users, min(3, len(users)))))
        else:
            about = source or random.choice(world.workload.sources)
        self._ask(process, kind, about)

    def _ask(self, process: Process, what: str, about: Any) -> "asyncio.Task[None]":
        world, context = self.world, process.member.context
        # a worker that has not read what there was at its start knows no state and says so
        seen = max(context.states.position, process.states_at_start)
        if what == "users":
            # each worker hides by what it has read itself; rows and audiences pin one version
            seen = min(each.member.context.states.position for each in world.running())
        asked = Asked(what, about, process.name, world.loop.time(), seen, world.now())
        answering: dict[str, Callable[[Process, Any], Awaitable[Any]]] = {
            "rows": self._rows,
            "audience": self._audience,
            "users": self._users,
            "figures": self._figures,
        }

        async def answer() -> None:
            try:
                async with asyncio.timeout(_ASK_S):
                    asked.answer = await answering[what](process, about)
            except (HiddenSource, UnknownSource, Unavailable, RefusedAnswer) as error:
                asked.refusal = _without_frames(error)
            except Recoverable as error:
                # An answer that breaks off says so.
                asked.refusal = Unavailable(str(error))
            except TimeoutError:
                asked.refusal = Unavailable("nothing came")
            asked.window = world.since(asked.before)
            asked.written = world.kafka.log((world.topics.state, 0)).end
            self.asked.append(asked)

        return process.run(answer(), f"question {what}")

    async def _rows(self, process: Process, source: str) -> Interactions:
        found: Interactions = {}
        async with SourceRows(process.member.context, source) as rows:
            async for frame in rows:
                for *key, first, last in frame.select(*KEY, "first", "last").iter_rows():
                    if tuple(key) in found:
                        raise AssertionError(f"{key} stands in two frames")
                    found[tuple(key)] = (first, last)
        return found

    async def _audience(self, process: Process, tree: Mapping[str, Any]) -> list[str]:
        question = Question(parse(tree), self.world.clock.now_ms())
        async with Audience(process.member.context, question) as audience:
            return [user async for part in audience for user in part.to_list()]

    async def _users(self, process: Process, users: tuple[str, ...]) -> Mapping[str, Any]:
        found = await people.read(process.member.context, users)
        return found.facts

    async def _figures(self, process: Process, source: str) -> list[Counter[Any]]:
        found = await figures(process.member.context, source)
        return [Counter({tuple(row[:-1]): row[-1] for row in part.totals}) for part in found]

    def _filter(self, random: Random) -> dict[str, Any]:
        sources = self.world.workload.sources
        leaves = [self._leaf(random, random.choice(sources)) for _ in range(random.randint(1, 3))]
        if len(leaves) == 1:
            return leaves[0]
        return {random.choice(("and", "or")): leaves}

    def _leaf(self, random: Random, source: str) -> dict[str, Any]:
        kind, _, name = source.partition(":")
        leaf: dict[str, Any]
        if kind == "campaign":
            leaf = random.choice(
                (
                    {"filter": "received_from_campaign", "campaign": name},
                    {"filter": "clicked_opened_campaign", "campaign": name, "action": "any"},
                    {"filter": "in_campaign_control_group", "campaign": name},
                    {"filter": "converted_from_campaign", "campaign": name, "index": "any"},
                    {"filter": "never_received"},
                )
            )
        else:
            leaf = random.choice(
                (
                    {"filter": "received_from_step", "canvas": name, "step": "step1"},
                    {"filter": "converted_from_canvas", "canvas": name, "index": "any"},
                    {"filter": "last_received_any", "before": random.choice(_WHEN)},
                    {"filter": "hard_bounced"},
                )
            )
        leaf = dict(leaf)
        if leaf["filter"].startswith("received_from") and random.random() < 0.3:
            leaf["after"] = random.choice(_WHEN)
        if random.random() < 0.3:
            leaf["has"] = False
        return {"not": leaf} if random.random() < 0.15 else leaf

    # -- whether the answers were true

    def wrong(self, truths: list[ShardTruth], states: States) -> list[str]:
        """The answers that were not."""
        return [
            f"{one}: {why}" for one in self.asked if (why := _Judge(one, truths, states).judge())
        ]


class _Judge:
    def __init__(self, asked: Asked, truths: list[ShardTruth], states: States) -> None:
        self._asked = asked
        self._truths = truths
        self._states = states
        assert asked.window is not None
        self._moments = [truth.within(asked.window) for truth in truths]

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
            wanted = [_about(truth.rows(moment), source) for moment in moments]
            if part not in wanted:
                return f"shard {truth.partition}: {_difference(part, wanted)}"
        return ""

    def _audience(self, tree: Mapping[str, Any], answer: list[str]) -> str:
        for source in _named(tree):
            if not self._visible(source):
                return f"{source} was hidden all the time"
        if len(set(answer)) != len(answer):
            return "a user is in it twice"
        parts = self._parts(answer)
        for truth, moments in zip(self._truths, self._moments, strict=True):
            wanted = [_matching(truth, moment, tree) for moment in moments]
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
            found: dict[str, Interactions] = defaultdict(dict)
            facts = answer.get(user)
            rows = [] if facts is None else facts.rows.select(*KEY, "first", "last").iter_rows()
            for *key, first, last in rows:
                if key[0] != PROFILE:
                    found[key[0]][tuple(key)] = (first, last)
            if not any(
                self._of_user(user, found, truth.rows(moment))
                for moment in self._moments[truth.partition]
            ):
                last_moment = truth.rows(self._moments[truth.partition][-1])
                wanted = {key: span for key, span in last_moment.items() if key[1] == user}
                return f"{user}: {dict(found)} is true at no moment; at the last: {wanted}"
        return ""

    def _of_user(self, user: str, found: Mapping[str, Interactions], truth: Interactions) -> bool:
        """Whether a user's rows are those of one moment: all or none of each source."""
        wanted: dict[str, Interactions] = defaultdict(dict)
        for key, span in truth.items():
            if key[1] == user:
                wanted[key[0]][key] = span
        for source in wanted.keys() | found.keys():
            if found.get(source, {}) == wanted.get(source, {}) and self._visible(source):
                continue
            if source not in found and self._hidden(source):
                continue
            return False
        return True

    def _figures(self, source: str, answer: list[Counter[Any]]) -> str:
        for truth, moments in zip(self._truths, self._moments, strict=True):
            wanted = [_counted(truth, moment, source) for moment in moments]
            if answer[truth.partition] not in wanted:
                return (
                    f"shard {truth.partition}: {dict(answer[truth.partition])} instead of one of "
                    f"{[dict(one) for one in wanted][-2:]}"
                )
        return ""


def _without_frames(refusal: Exception) -> Exception:
    """The same, to be kept: the frames in which it was raised hold open what they read from."""
    error: BaseException | None = refusal
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return refusal


def _about(rows: Interactions, source: str) -> Interactions:
    return {key: span for key, span in rows.items() if key[0] == source}


def _difference(part: Interactions, wanted: list[Interactions]) -> str:
    nearest = min(wanted, key=lambda rows: len(rows.items() ^ part.items()))
    return (
        f"{len(part)} rows, true at none of {len(wanted)} moments; of the nearest it lacks "
        f"{sorted(nearest.items() - part.items(), key=repr)[:3]} and has too many "
        f"{sorted(part.items() - nearest.items(), key=repr)[:3]}"
    )


def _named(tree: Mapping[str, Any]) -> list[str]:
    """The sources that a filter names."""
    for word in ("and", "or"):
        if word in tree:
            return [source for part in tree[word] for source in _named(part)]
    if "not" in tree:
        return _named(tree["not"])
    return [f"{kind}:{tree[kind]}" for kind in ("campaign", "canvas") if kind in tree]


def _matching(truth: ShardTruth, moment: int, tree: Mapping[str, Any]) -> set[str]:
    """The users of a shard who match, by the independent evaluation of the tests."""
    events = []
    for one in truth.happened(moment):
        event = one.event
        kinds = _kinds(one.kind, event)
        source = _source(event)
        sent = one.kind in ("send", "open", "click")
        for kind in kinds:
            variation = event.get("message_variation_id") or event.get("canvas_variation_id")
            detail = event.get("link_alias")
            if one.kind == "conversion":
                detail = str(event.get("conversion_behavior_index") or 0)
            events.append(
                brute.Event(
                    source,
                    event["user_id"],
                    kind,
                    (event.get("channel") or "OTHER") if sent else None,
                    event.get("canvas_step_id"),
                    variation if source else None,
                    detail,
                    False,
                    event["time"],
                )
            )
    sources = {source: brute.SourceFacts(state="ACTIVE") for source in _named(tree)}
    facts = brute.Facts(truth.users(moment), events, sources)
    return brute.judge(tree, facts, blind=True).users


def _source(event: Mapping[str, Any]) -> str | None:
    for kind in ("campaign", "canvas"):
        if event.get(f"{kind}_id") is not None:
            return f"{kind}:{event[f'{kind}_id']}"
    return None


def _kinds(name: str, event: Mapping[str, Any]) -> tuple[str, ...]:
    if name == "variant":
        return ("control", "entered") if event.get("in_control_group") else ("entered",)
    if name == "signal":
        return (str(event.get("signal_type", "OTHER")).lower(),)
    made = {"send": "received", "open": "opened", "click": "clicked", "conversion": "converted"}
    return (made[name],)


def _counted(truth: ShardTruth, moment: int, source: str) -> Counter[Any]:
    """How often each thing happened, each event once."""
    found: Counter[Any] = Counter()
    seen: set[str] = set()
    for one in truth.happened(moment):
        if one.event["id"] in seen:
            continue
        seen.add(one.event["id"])
        if _source(one.event) != source:
            continue
        event = one.event
        variation = event.get("message_variation_id") or event.get("canvas_variation_id")
        channel = event.get("channel") if one.kind in ("send", "open", "click") else None
        detail = None
        if one.kind == "conversion":
            detail = str(event.get("conversion_behavior_index") or 0)
        for kind in _kinds(one.kind, event):
            day = event["time"] // _DAY_MS
            step = event.get("canvas_step_id")
            found[day, kind, channel, step, variation, detail] += 1
    return found
