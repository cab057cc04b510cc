"""Users that are erased before a measurement: each step and each answer looks for them."""

from agents.tools.bench.commands import seconds_of
from agents.tools.bench.field import Field
from agents.tools.bench.worker import Worker

__all__ = ["strangers", "with_erased"]


def strangers(count: int) -> list[str]:
    """Ids of users that no benchmark has, so that all answers stay what they are."""
    return [f"{number:024x}" for number in range(count)]


async def with_erased(here: Field, count: int) -> None:
    """Erase so many strangers in an environment without data, by a worker of its own."""
    with Worker(here) as worker:
        await worker.ready()
        await seconds_of(here, "erase", users=strangers(count))
