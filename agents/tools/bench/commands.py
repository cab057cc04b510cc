"""Commands of a measurement, each until its final result."""

import time
from collections.abc import Sequence

from agents.tools.bench.field import Field
from agents.tools.operator_requests import ask, command
from schemas.errors import Fatal

__all__ = ["seconds_of"]

_SILENCE_S = 300.0


async def seconds_of(here: Field, kind: str, *sources: str, users: Sequence[str] = ()) -> float:
    """The seconds of a command, from its publication to its final result, by a worker that runs
    with the settings of `here`. Raises Fatal if it is refused.
    """
    record = command(kind, sources, reason="benchmark") | {"users": list(users)}
    start = time.monotonic()
    answer = await ask(here.settings, record, silence_s=_SILENCE_S)
    if answer.bad:
        raise Fatal(f"{kind} did not succeed: {answer.bad[0]['message']}")
    return time.monotonic() - start
