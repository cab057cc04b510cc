"""Users that are erased before a measurement: each step and each answer looks for them."""

from agents.tools.bench.field import Field
from agents.tools.bench.worker import Worker
from agents.tools.operator_requests import ask, command
from schemas.errors import Fatal

__all__ = ["erase", "strangers", "with_erased"]

_SILENCE_S = 120.0


def strangers(count: int) -> list[str]:
    """Ids of users that no benchmark has, so that all answers stay what they are."""
    return [f"{number:024x}" for number in range(count)]


async def erase(here: Field, users: list[str]) -> None:
    """Erase users and wait until all of it is done, by a worker that runs with the settings of
    `here`. Raises Fatal if it is refused.
    """
    record = command("erase", reason="benchmark") | {"users": users}
    answer = await ask(here.settings, record, silence_s=_SILENCE_S)
    if answer.bad:
        raise Fatal(f"Users are not erased: {answer.bad[0]['message']}")


async def with_erased(here: Field, count: int) -> None:
    """Erase so many strangers in an environment without data, by a worker of its own."""
    with Worker(here) as worker:
        await worker.ready()
        await erase(here, strangers(count))
