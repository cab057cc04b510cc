"""Requests and their results, from the coordinator's log.

Its size is limited: of very many requests the oldest finished ones are dropped; `control.results`
still has them.
"""

import asyncio
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import Request, RequestResult, WorkProgress
from agents.views.erasure_view import ErasureView
from agents.views.offsets import since
from schemas.records.lifecycle import CommandType
from streams.kafka.foreign_records import own_key

__all__ = ["COUNTS", "RequestView", "counted_as"]

COUNTS = ("running", "completed", "already", "refused", "failed")
"""What the sources of a request are counted as."""

MOST_REQUESTS = 20_000
MOST_PARTS = 500_000
"""Of all requests together: a part is what was told last of one source in a request."""
_SEPARATOR = "\x1f"
_NO_PARTS: Mapping[str, RequestResult] = MappingProxyType({})


class RequestView:
    """The requests of the last 30 days. One task updates it and many read it, all in one event
    loop.
    """

    def __init__(
        self,
        most_requests: int = MOST_REQUESTS,
        most_parts: int = MOST_PARTS,
        erasures: ErasureView | None = None,
    ) -> None:
        self.erasures = erasures or ErasureView()
        """What is special to requests that erase users."""
        self._most_requests = most_requests
        self._most_parts = most_parts
        self._requests: dict[str, Request] = {}
        self._parts: dict[str, dict[str, RequestResult]] = {}
        self._tallies: dict[str, Counter[str]] = {}
        self._count = 0
        #: (time, id) of every request, ascending.
        self._order: list[tuple[int, str]] = []
        #: Those among them that may still change.
        self._open: set[str] = set()
        #: Where each request was changed last, ascending: what changed since is at the end.
        self._changed_at: dict[str, int] = {}
        self._progress: dict[str, WorkProgress] = {}
        #: Where the progress of each source was written last, ascending.
        self._progress_at: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self.position = 0
        """The next offset of the log to be read."""
        self.silent_s: Callable[[], float] = lambda: 0.0
        """Seconds since a broker last answered the reader."""
        self.caught_up = asyncio.Event()
        """Set once all that was there when the reading began has been applied."""

    def __len__(self) -> int:
        return len(self._requests)

    def get(self, request_id: str) -> Request | None:
        """A request without its sources: those are in `parts`."""
        return self._requests.get(request_id)

    def parts(self, request_id: str) -> Mapping[str, RequestResult]:
        """The last result of each source of a request."""
        return self._parts.get(request_id, _NO_PARTS)

    def frozen(self, request_id: str) -> "RequestView":
        """What is known now, for one request with its parts, in a view that a thread may read: this
        one goes on changing. The parts of other requests are those of this view.
        """
        found = RequestView()
        found._requests, found._order = self._requests.copy(), self._order.copy()
        found._parts = {**self._parts, request_id: dict(self.parts(request_id))}
        found._tallies = {request_id: self.tally(request_id).copy()}
        found._progress = self._progress.copy()
        return found

    def progress(self, source: str, version: int) -> WorkProgress | None:
        """How far the shards are with this version of a source."""
        found = self._progress.get(source)
        return found if found is not None and found.version == version else None

    def progress_since(self, offset: int) -> Iterator[str]:
        """The sources whose progress was written at this offset or later, the latest first."""
        return since(self._progress_at, offset)

    def tally(self, request_id: str) -> Counter[str]:
        """How many sources of a request are `running`, `completed`, `already` as was asked,
        `refused` or `failed`."""
        return self._tallies.get(request_id, Counter())

    def newest(self, before: tuple[int, str] | None = None) -> Iterator[Request]:
        """Requests, newest first; those below `before`, which is a time and an id, if given."""
        order = list(self._order)
        end = len(order) if before is None else bisect_left(order, before)
        return (self._requests[name] for _, name in reversed(order[:end]) if name in self._requests)

    def running(self) -> list[Request]:
        """Unfinished requests, oldest first."""
        found = [self._requests[name] for name in self._open]
        return sorted(found, key=lambda one: (one.time, one.request_id))

    def changed_since(self, offset: int) -> Iterator[str]:
        """The ids of what has changed at this offset of the log or later, the latest first."""
        return since(self._changed_at, offset)

    def decided(self, request_id: str) -> bool:
        """Whether the coordinator's decision on the whole request is known."""
        request = self._requests.get(request_id)
        if request is None or request.whole is None:
            return False
        if request.type == CommandType.ERASE:
            return True  # it is about users, who have no results of their own
        # what is about sources says how many: in the log they stand behind the request itself
        return len(self.parts(request_id)) + request.untold >= request.whole.total or (
            request.whole.outcome.final and not self._has_parts(request)
        )

    def settled(self, request_id: str) -> bool:
        """Whether the decision is known, and of each source that it is over."""
        return self.decided(request_id) and not self.tally(request_id)["running"]

    async def until_decided(self, request_id: str) -> None:
        """Wait for that. The caller sets the deadline."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.decided(request_id))

    async def until_over(self, request_id: str, offset: int) -> None:
        """Wait until the log has been applied past `offset`, where the request is over, and every
        part of it too: those stand behind it. The caller sets the deadline.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: (
                    self.position > offset
                    and (request_id not in self._requests or self.settled(request_id))
                )
            )

    def apply(self, key: bytes | None, value: bytes | None, offset: int = 0) -> None:
        """Process one record of the coordinator's log; records of other kinds change nothing.

        Raises ledger.Unreadable.
        """
        name = own_key(key) or ""
        letter, _, rest = name.partition("/")
        self.erasures.apply(key, value)
        if letter not in ("r", "t", "p") or not ledger.known(name):
            return
        found = None if value is None else ledger.parsed(name, value)
        if letter == "p":
            self._put_progress(rest, found, offset)
            return
        if letter == "r":
            self._put(rest, found)
        else:
            request_id, _, source = rest.partition(_SEPARATOR)
            self._put_part(request_id, source, found)
            rest = request_id
        self._changed_at.pop(rest, None)
        if rest in self._requests:
            self._changed_at[rest] = offset
        self._make_room()

    async def advance(self, position: int) -> None:
        """Note that all records below `position` have been applied, and wake waiting readers."""
        async with self._changed:
            if position != self.position:
                self.position = position
                self._changed.notify_all()

    def _put_progress(self, source: str, progress: WorkProgress | None, offset: int) -> None:
        self._progress.pop(source, None)
        self._progress_at.pop(source, None)
        if progress is not None:
            self._progress[source] = progress
            self._progress_at[source] = offset

    def _has_parts(self, request: Request) -> bool:
        return request.finished > 0 or request.untold > 0 or bool(self.parts(request.request_id))

    def _put(self, request_id: str, request: Request | None) -> None:
        former = self._requests.pop(request_id, None)
        if former is not None:
            del self._order[bisect_left(self._order, (former.time, request_id))]
        self._open.discard(request_id)
        if request is None:
            self._forget_parts(request_id)
            return
        self._requests[request_id] = request
        insort(self._order, (request.time, request_id))
        if request.whole is None or not request.whole.outcome.final:
            self._open.add(request_id)

    def _put_part(self, request_id: str, source: str, told: RequestResult | None) -> None:
        parts = self._parts.setdefault(request_id, {})
        tally = self._tallies.setdefault(request_id, Counter())
        former = parts.pop(source, None)
        if former is not None:
            self._count -= 1
            tally[counted_as(former)] -= 1
        if told is not None:
            parts[source] = told
            self._count += 1
            tally[counted_as(told)] += 1
        elif not parts:
            self._forget_parts(request_id)

    def _forget_parts(self, request_id: str) -> None:
        self._count -= len(self._parts.pop(request_id, ()))
        self._tallies.pop(request_id, None)

    def _make_room(self) -> None:
        """Drop the oldest finished requests; parts without a request are dropped first."""
        if len(self._requests) <= self._most_requests and self._count <= self._most_parts:
            return
        if self._count > self._most_parts:
            for request_id in [one for one in self._parts if one not in self._requests]:
                self._forget_parts(request_id)
        if len(self._open) == len(self._requests):
            return
        for _, request_id in list(self._order):
            if (
                len(self._requests) <= self._most_requests * 0.95
                and self._count <= self._most_parts * 0.95
            ):
                return
            if request_id not in self._open:
                self._put(request_id, None)
                self._changed_at.pop(request_id, None)
                self.erasures.forget(request_id)


def counted_as(told: RequestResult) -> str:
    """`running`, `completed`, `already`, `refused` or `failed`: in which number of a request's
    counts a source is.
    """
    if told.already and told.outcome.final:
        return "already"
    return told.outcome.value if told.outcome.final else "running"
