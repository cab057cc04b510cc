"""What a dry run says of the work: how much it is, and how long it may take. Pure.

The time comes from what was measured: from the largest of the last requests of the same type. Where
nothing was measured, there is no time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from agents.coordinator.rules.state import Request
from agents.views.protocol import SourceLookup
from agents.views.request_view import RequestView
from schemas.records.lifecycle import CommandType, Outcome

__all__ = ["Amount", "Measured", "accepted", "archived_amount", "effect_facts", "measured"]

_LOOKED_AT = 500
"""Requests that are looked at, the newest first."""
_MEASURED = 20
"""Requests that count, the newest first."""
_MOST_PARTS = 5_000
"""Sources of a request that counts."""
_MOVES = (CommandType.RESTORE, CommandType.EXPIRE)


@dataclass(frozen=True, slots=True)
class Amount:
    """Interactions and bytes of some sources."""

    interactions: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A request that was measured: its bytes, and the seconds until its last source was done."""

    request_id: str
    time: int
    bytes: int
    seconds: float


def accepted(request: Request, view: RequestView) -> list[str]:
    """The sources of a dry run for which something would be done."""
    parts = view.parts(request.request_id)
    return [
        source
        for source, told in parts.items()
        if told.outcome is not Outcome.REFUSED and not told.already
    ]


def archived_amount(sources: Iterable[str], states: SourceLookup) -> Amount:
    """What the archive has of expired sources."""
    found = [record for source in sources if (record := states.get(source)) is not None]
    return Amount(sum(one.interactions for one in found), sum(one.bytes for one in found))


def measured(kind: str, view: RequestView, states: SourceLookup) -> tuple[Measured, float] | None:
    """The largest of the last requests of this type, and the shortest time of any; None if none
    was measured.
    """
    if kind not in _MOVES:
        return None
    found = list(islice(_measured(kind, view, states), _MEASURED))
    if not found:
        return None
    largest = max(found, key=lambda one: (one.bytes, one.time))
    return largest, min(one.seconds for one in found)


def _measured(kind: str, view: RequestView, states: SourceLookup) -> Iterator[Measured]:
    for request in islice(view.newest(), _LOOKED_AT):
        whole = request.whole
        over = whole is not None and whole.outcome is Outcome.COMPLETED
        if request.type != kind or request.dry_run or not over:
            continue
        parts = view.parts(request.request_id)
        if len(parts) > _MOST_PARTS:
            continue
        done = {
            source: told.time
            # a copy: the view may change while a thread reads here
            for source, told in list(parts.items())
            if told.outcome is Outcome.COMPLETED and not told.already
        }
        weight = archived_amount(done, states).bytes
        seconds = (max(done.values(), default=request.time) - request.time) / 1000
        if weight and seconds > 0:
            yield Measured(request.request_id, request.time, weight, seconds)


def effect_facts(count: int, amount: Amount, rate: tuple[Measured, float] | None) -> dict[str, Any]:
    """The JSON of what a dry run of `count` sources would do; docs/operating.md explains it."""
    seconds = None
    if rate is not None and count:
        largest, shortest = rate
        seconds = round(max(amount.bytes * largest.seconds / largest.bytes, shortest), 1)
    return {
        "sources": count,
        "interactions": amount.interactions,
        "bytes": amount.bytes,
        "seconds": seconds,
        "measured": None if rate is None else asdict(rate[0]),
    }
