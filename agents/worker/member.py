"""A worker as a member of the group: its shard manager, its membership, and their connections.

The app of a real worker and the simulation (tests/sim) both connect them here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agents.scatter.context import WorkerContext
from agents.supervision.shard_manager import Actors, Deliver, ShardManager
from streams.clock import steady_s
from streams.group.membership import Assigned, Membership
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["Member", "member_of", "subscribed"]


@dataclass(frozen=True, slots=True)
class Member:
    """The parts of one worker that depend on the group."""

    manager: ShardManager
    membership: Membership
    context: WorkerContext


def subscribed(settings: Settings) -> tuple[str, ...]:
    """The topics whose partitions the group assigns: those of the shards, then `control`."""
    topics = Topics(settings.prefix)
    return (*topics.events.values(), topics.repartition, topics.control)


def member_of(
    settings: Settings,
    actors: Actors,
    make_context: Callable[[ShardManager], WorkerContext],
    *,
    deliver: Deliver,
    on_failed: Callable[[BaseException], None],
    on_held: Callable[[int], None] = lambda shards: None,
    now: Callable[[], float] = steady_s,
) -> Member:
    """A member that has not joined yet.

    `deliver` sends a shard's fetched batches to it. `on_failed` gets every error that must end the
    process. `on_held` gets the number of assigned shards, before they start. `now` gives seconds
    that also count while the process is suspended.
    """
    *sharded, control = subscribed(settings)

    async def assigned(found: Assigned) -> None:
        on_held(len(found.shards))
        await manager.assigned(found.shards, found.control, found.generation, found.directory)

    membership = Membership(
        settings,
        sharded,
        control,
        address=lambda: context.address,
        on_assigned=assigned,
        on_failed=on_failed,
        now=now,
    )
    manager = ShardManager(
        actors,
        deliver=deliver,
        request_rejoin=membership.request_rejoin,
        on_failed=on_failed,
    )
    actors.ownership.silent_s = membership.silent_s
    actors.ownership.lapses = lambda: membership.lapses
    context = make_context(manager)
    return Member(manager, membership, context)
