"""Questions to workers during a run, and their answers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from agents.audience.audience import Audience, Question, RefusedAnswer
from agents.filters.parsing import parse
from agents.scatter import people
from agents.scatter.errors import HiddenSource, Unavailable, UnknownSource
from agents.scatter.figures import figures
from agents.scatter.rows import SourceRows
from agents.scatter.sizes import sizes
from agents.supervision.shard_manager import SourceSize
from agents.tools.oracle import Interactions
from agents.users.facts import ArchivedUser, UserFacts
from schemas.errors import Recoverable
from schemas.tables.interaction import KEY
from tests.sim.judging import Asked, FiguresFound, Judge, States, erasures_told
from tests.sim.truth import ShardTruth
from tests.sim.worker import Process

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Questions"]

_ASK_S = 60.0
_WHEN = ("2025-06-15T00:00:00Z", "2025-12-31T23:00:00Z", "2026-02-10T12:00:00Z")
_OF_PERSONS = ("persons", "persons", "audience", "views", "archived", "sizes", "users")


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

    async def about_persons(self) -> None:
        """Ask about users, of the roster and of the archive, in the phase with faults."""
        random = self.world.loop.stream("questions/persons")
        plan = self.world.plan
        for _ in range(plan.person_questions):
            await asyncio.sleep(random.expovariate(1.2 * plan.person_questions / plan.busy_s))
            processes = list(self.world.running())
            if processes:
                self._of_persons(random, random.choice(processes), random.choice(_OF_PERSONS))

    async def again(self) -> list[Asked]:
        """Ask everybody everything once the world is quiet: now each must answer. Returns the
        questions that nobody could answer.
        """
        random = self.world.loop.stream("questions/quiet")
        waiting = []
        for process in self.world.running():
            for source in self.world.workload.sources:
                waiting.append(self._ask(process, "rows", source))
                waiting.append(self._ask(process, "figures", source))
            waiting.append(self._ask(process, "audience", self._filter(random)))
            waiting.append(self._ask(process, "users", tuple(self.world.workload.users[:20])))
            if self._with_people:
                for kind in ("persons", "archived", "sizes", "audience", "views"):
                    waiting.append(self._of_persons(random, process, kind))
        await asyncio.wait(waiting)
        # not `asked`: a question of the phase with faults may end only now, and its refusal is of
        # a worker that has ended since
        asked = [task.result() for task in waiting]
        return [one for one in asked if isinstance(one.refusal, Unavailable)]

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
        kind = random.choice(("rows", "rows", "audience", "audience", "users", "figures"))
        self._ask(process, kind, self._about(random, kind, source))

    def _of_persons(self, random: Random, process: Process, kind: str) -> "asyncio.Task[Asked]":
        if kind == "views":
            comparator, n = random.choice((">=", "=", "<")), random.randint(1, 3)
            views = {"filter": "feed_view_count", "comparator": comparator, "n": n}
            tree = {random.choice(("and", "or")): [views, self._filter(random)]}
            return self._ask(process, "audience", tree)
        return self._ask(process, kind, self._about(random, kind))

    def _about(self, random: Random, kind: str, source: str | None = None) -> Any:
        workload = self.world.workload
        if kind == "audience":
            return self._filter(random) if source is None else self._leaf(random, source)
        if kind == "users":
            users = workload.users
            return tuple(sorted(random.sample(users, min(3, len(users)))))
        if kind == "persons":
            return tuple(self.world.people.users)
        if kind == "archived":
            return random.choice(self.world.people.users)
        if kind == "sizes":
            return tuple(workload.sources)
        return source or random.choice(workload.sources)

    @property
    def _with_people(self) -> bool:
        return bool(self.world.plan.user_records or self.world.plan.erasures)

    def _ask(self, process: Process, what: str, about: Any) -> "asyncio.Task[Asked]":
        world, context = self.world, process.member.context
        # a worker that has not read what there was at its start knows no state and says so
        seen = max(context.states.position, process.states_at_start)
        if what in ("users", "persons", "archived"):
            # each worker hides by what it has read itself; rows and audiences pin one version
            seen = min(each.member.context.states.position for each in world.running())
        told = world.kafka.log((world.topics.control_results, 0)).stable
        asked = Asked(what, about, process.name, world.loop.time(), seen, told, world.now())
        answering: dict[str, Callable[[Process, Any], Awaitable[Any]]] = {
            "rows": self._rows,
            "audience": self._audience,
            "users": self._users,
            "figures": self._figures,
            "persons": self._resolved,
            "archived": self._archived,
            "sizes": self._sizes,
        }

        async def answer() -> Asked:
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
            return asked

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

    async def _figures(self, process: Process, source: str) -> list[FiguresFound]:
        found = await figures(process.member.context, source)
        return [FiguresFound(_numbers(part.totals), _numbers(part.uniques)) for part in found]

    async def _resolved(
        self, process: Process, users: tuple[str, ...]
    ) -> Mapping[str, UserFacts | None]:
        found = await people.resolve(process.member.context, users)
        return found.users

    async def _archived(self, process: Process, user: str) -> tuple[UserFacts, ArchivedUser] | None:
        facts = (await people.resolve(process.member.context, [user])).users[user]
        if facts is None:
            return None
        return facts, await people.hidden_of(process.member.context, facts)

    async def _sizes(self, process: Process, sources: tuple[str, ...]) -> Mapping[str, SourceSize]:
        found = await sizes(process.member.context, sources)
        if found.missing:
            raise Unavailable(f"the shards {found.missing} do not answer")
        return found.by_source

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
        erased = erasures_told(self.world)
        return [
            f"{one}: {why}"
            for one in self.asked
            if (why := Judge(one, truths, states, erased).judge())
        ]


def _numbers(rows: list[list[Any]]) -> Counter[Any]:
    return Counter({tuple(row[:-1]): row[-1] for row in rows})


def _without_frames(refusal: Exception) -> Exception:
    """The same, to be kept: the frames in which it was raised hold open what they read from."""
    error: BaseException | None = refusal
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
    return refusal
