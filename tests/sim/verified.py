"""`emberline verify` over what a run has left, as an operator would run it beside the workers."""

from typing import TYPE_CHECKING

from agents.verify.kinds import FindingKind
from agents.verify.verify import VerifyOptions, verify
from streams.kafka.environment import Environment
from tests.sim.log.sim_log import SimLog
from tests.sim.reached import reached

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["damage"]

#: Of the runs without users; it costs a tenth of a run.
_SHARE = 0.25
#: A producer may say that a user was merged into an erased one.
_OF_PRODUCERS = {FindingKind.ERASED_MERGED}
#: A store that is damaged on the disk, and not read, is damage indeed.
_ON_DISKS = {"disk", "old disks"}


async def damage(world: "World") -> str:
    """What it finds; empty if everything is whole, or if the seed leaves it out. The world must be
    healed and quiet.
    """
    random = world.loop.stream("verify")
    with_users = world.plan.user_records or world.plan.erasures
    if not with_users and random.random() >= _SHARE:
        return ""
    settings = world.settings
    if not _ON_DISKS.intersection(world.plan.faults):
        # with the local stores of one worker
        settings = random.choice(list(world.running())).settings
    kafka = SimLog(world.kafka, settings, random, world.clock)
    environment = Environment(settings, kafka, world.clock, random)
    options = VerifyOptions(against_topics=random.random() < 0.5, drill=random.choice((0, 1)))
    report = await verify(environment, options)
    for what in ("local_stores", "drilled_sources", "erased_users", "rows_compared"):
        if report.figures[what]:
            reached(f"verify: {what}")
    found = [one for one in report.findings if one.kind not in _OF_PRODUCERS]
    if found:
        first = found[0]
        return f"verify finds {dict(report.counts)}: {first.kind} at {first.where}, {first.what}"
    return ""
