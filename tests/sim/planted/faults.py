"""Faults that the simulator must find: each replaces one function by what it was before its mend,
or by what it must never become.

The history of the project names the first ones. `found` is the number of seeds within which the
simulator must find the fault; `plan` may choose what these seeds have, so that this stays few.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from agents.shard import agreement, audience, read, shard
from agents.shard.intake import Intake
from agents.shard.jobs.expire import Expire
from agents.shard.jobs.restore import Restore
from agents.supervision.shard_manager import ShardManager

__all__ = ["PLANTED", "Planted", "planted"]


@dataclass(frozen=True, slots=True)
class Planted:
    """One fault. `function` takes the place of what `places` name: each an owner and the name of
    its attribute. `mended`: the commit that mended it, empty if it never was in the code. `plan`:
    see `RunPlan.changed`. `first`: the first seed.
    """

    what: str
    places: tuple[tuple[Any, str], ...]
    function: Any
    found: int
    mended: str = ""
    plan: str = ""
    first: int = 0


PLANTED: dict[str, Planted] = {}


def _plant(title: str, **facts: Any) -> None:
    PLANTED[title] = Planted(**facts)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Inside, the fault of this name is in the code; an empty name plants nothing."""
    with ExitStack() as stack:
        if name:
            one = PLANTED[name]
            for owner, attribute in one.places:
                stack.enter_context(patch.object(owner, attribute, one.function))
        yield


# -- who may answer, and who may write


def _nothing_checked(*args: Any) -> None:
    """Checks nothing."""


_plant(
    "a stale owner answers",
    what="A worker that others have taken for dead answers for the shards that were its own",
    places=(
        (agreement, "check_owned"),
        (audience, "check_owned"),
        (shard, "check_owned"),
        (ShardManager, "check_in_touch"),
    ),
    function=_nothing_checked,
    mended="582d199",
    found=20,
    plan='{"workers":2,"partitions":1,"questions":30,"events":100,"users":5,"busy_s":60.0,'
    '"faults":["freeze","group silent","zombie"]}',
)
_plant(
    "rows of any version",
    what="A shard answers with the rows of a source whatever its state and version",
    places=((read, "check_held"),),
    function=_nothing_checked,
    found=30,
    plan='{"workers":2,"partitions":2,"questions":60,"definitions":16,"jumps":10,'
    '"commands":10,"events":60,"sources":4,"busy_s":40.0,"faults":["log: slow","peers"]}',
)


# -- lifecycle


async def _half_copied(self: Expire) -> bool:
    """The last segment of what is to be copied is left out."""
    if self._uncopied is not None and len(self._uncopied) == 1 and len(self._unverified) > 1:
        del self._unverified[-1]
        self._uncopied.clear()
        return False
    return await _copy(self)


_copy = Expire._copy

_plant(
    "a segment not copied",
    what="An expiry drops a segment that it has not copied to the archive",
    places=((Expire, "_copy"),),
    function=_half_copied,
    found=30,
)


async def _half_restored(self: Restore) -> bool:
    if len(self._missing) == 1 and len(self._entries) > 0:
        self._missing.clear()
        await self.close()
    return await _restore_step(self)


_restore_step = Restore.step

_plant(
    "a segment not restored",
    what="A restore reports that all is back while a segment is missing",
    places=((Restore, "step"),),
    function=_half_restored,
    found=30,
)


# -- recovery


def _remembers_nothing(self: Intake) -> None:
    return None


_plant(
    "event ids forgotten",
    what="After a takeover an event that is repeated is counted again",
    places=((Intake, "recall"),),
    function=_remembers_nothing,
    found=10,
    plan='{"workers":1,"partitions":1,"events":200,"questions":5,"busy_s":60.0,"faults":["crash"]}',
)
