"""The actors of one worker and the objects that they share, without process, group and server.

The worker's process and the simulation (tests/sim) both put their workers together here.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from agents.coordinator.coordinator import Coordinator
from agents.coordinator.proof import proven
from agents.http.keyring import KeyRing, KeysLost
from agents.notify.notifier import Notifier, NotifierParts, Send
from agents.notify.sending import Sender
from agents.resources.budget import Budget
from agents.resources.scheduler import Scheduler
from agents.scatter.context import WorkerContext
from agents.shard.ownership import Ownership
from agents.shard.shard import Shard
from agents.supervision.broker_gate import BrokerGate
from agents.supervision.shard_manager import Actors, Deliver, MakeActor, ShardManager
from agents.supervision.topic_watch import TopicWatch
from agents.views import catalog_view, state_view
from agents.views.catalog_view import CatalogView
from agents.views.request_view import RequestView
from agents.views.state_view import StateView
from agents.worker.preflight import rights_on_topics
from schemas.decode.batch_records import KafkaRecord
from streams.clock import steady_s
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.state.state_store import shared_cache

__all__ = ["Assembled", "assemble"]


@dataclass(frozen=True, slots=True)
class Assembled:
    """How the actors of one worker are made, and what its HTTP handlers need.

    Call `make_context` once, with the worker's shard manager. `on_held` takes the number of
    assigned shards, before they start.
    """

    actors: Actors
    make_context: Callable[[ShardManager], WorkerContext]
    on_held: Callable[[int], None]


class _Follower:
    """The reader of a view as an actor."""

    def __init__(self, follow: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._follow = follow

    async def run(self) -> None:
        await self._follow()


def assemble(
    environment: Environment,
    *,
    send: Send | None = None,
    now: Callable[[], float] = steady_s,
) -> Assembled:
    """A worker's parts; call it in the loop that will run them.

    `send` makes one attempt to deliver a notice: by default, by mail or webhook as the settings
    say. `now` gives seconds that also count while the process is suspended.
    """
    settings = environment.settings
    view, catalog = StateView(), CatalogView()
    requests = RequestView(erasures=view.erasures)
    keyring, control = KeyRing(settings.keys_file), Topics(settings.prefix).control
    budget = Budget(settings, scheduler=Scheduler(environment.clock))
    gate, ownership = BrokerGate(environment.kafka), Ownership(now)
    watch = TopicWatch(environment, rights=rights_on_topics(settings))
    cache = shared_cache(budget.cache_bytes)

    def email_of(name: str) -> str:
        try:
            keys = keyring.keys
        except KeysLost:
            return ""
        return "" if keys is None else keys.email_of(name)

    sending = Sender(settings, environment.clock) if send is None else send
    may_fence = partial(ownership.acknowledged, "the notifier")
    telling = NotifierParts(view, requests, sending, email_of, may_fence=may_fence)

    def make_shard(partition: int, deliver: Deliver) -> Shard:
        return Shard(environment, partition, view, cache, budget, deliver, ownership)

    def actor_of(record: KafkaRecord) -> str | None:
        try:
            keys = keyring.keys
        except KeysLost:
            return None
        return None if keys is None else proven(keys.command_key, control, record)

    def keyed() -> bool:
        try:
            return keyring.keys is not None
        except KeysLost:
            return True

    def on_held(shards: int) -> None:
        budget.shards = shards

    def make_coordinator() -> Coordinator:
        return Coordinator(
            environment,
            actor_of=actor_of,
            keyed=keyed,
            archive_fault=lambda: watch.archive_fault,
            may_fence=partial(ownership.acknowledged, "the coordinator"),
        )

    def make_context(manager: ShardManager) -> WorkerContext:
        return WorkerContext(
            settings,
            manager,
            view,
            watch,
            environment.kafka,
            catalog,
            clock=environment.clock,
            requests=requests,
            refusal=lambda: gate.trouble or watch.lacking,
            meters=environment.meters,
        )

    companions: dict[str, MakeActor] = {
        "state view": lambda: _Follower(partial(state_view.follow, environment, view)),
        "catalog view": lambda: _Follower(
            partial(catalog_view.follow, environment, catalog, requests, view)
        ),
        "broker watch": lambda: gate,
        "topic watch": lambda: watch,
    }
    actors = Actors(
        gate,
        make_shard,
        make_coordinator,
        {"notifier": lambda: Notifier(environment, telling)},
        companions,
        ownership,
        environment.meters,
    )
    return Assembled(actors, make_context, on_held)
