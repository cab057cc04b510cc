"""Server-sent events of one worker: made once for all its listeners, at most two a second; with
many listeners at least one a second.

    event: hello | change | reload | beat | dropped
    id: the position up to which a listener knows everything
    data: JSON

`age_s` in the data is the age of what the worker knows: the time since a broker last answered it.

The last few events are held, and each listener has a place among them. A listener that falls behind
them is dropped: what a listener costs does not depend on how slowly it reads.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from agents.requests.changes import Position, changed, running, totals
from agents.views.catalog_view import CatalogView
from agents.views.protocol import ChangingStates
from agents.views.request_view import RequestView
from streams.clock import Clock

__all__ = ["EventHub", "TooManyListeners", "tick_s"]

TICK_S = 0.5
"""The least time between two events."""
SLOWEST_TICK_S = 1.0
"""The time between two events however many listen: no listener's state is older than 2 s."""
SENT_PER_S = 1_000
"""Events sent in a second to all listeners together, as long as that is possible."""
HELD = 16
"""Events that are held for listeners that read slowly."""
LOOK_S = 2.0
"""The least time between two questions whether a listener may still listen."""
BEAT_S = 15.0
"""The time after which a listener without an event gets a comment."""
AHEAD_S = 10.0
"""How long a worker may take to read what a listener knows from another one."""
MOST_S = 3_600.0
"""How long one stream lasts: then the listener resumes, perhaps at another worker."""

log = logging.getLogger(__name__)

_COMMENT = b": the connection lives\n\n"
_LOST = "the worker cannot follow what changes: resume at another one"


def tick_s(listeners: int) -> float:
    """The time between two events for so many listeners: the more there are, the more one costs."""
    return max(TICK_S, min(listeners / SENT_PER_S, SLOWEST_TICK_S))


class TooManyListeners(Exception):
    """The worker, or the key, has as many listeners as it may; a worker that ends may have none."""


class EventHub:
    """Belongs to an event loop. Does nothing while nobody listens."""

    def __init__(
        self,
        states: ChangingStates,
        requests: RequestView,
        catalog: CatalogView,
        clock: Clock,
        most: int,
    ) -> None:
        self._states = states
        self._requests = requests
        self._catalog = catalog
        self._clock = clock
        self._most = most
        self._by_key = max(1, most * 3 // 4)
        self._listeners: Counter[str | None] = Counter()
        self._held: deque[bytes] = deque(maxlen=HELD)
        self._next = 0  # the number of the event that comes next
        self._at = Position(0, 0)  # what listeners know after the last event
        self._looked_at = 0.0  # a clock's seconds: when that was all that the worker knew
        self._told: dict[str, Any] = {}  # the totals of the last event
        self._turn = asyncio.Event()
        self._closed = False
        self._checks = 0  # how often all listeners were asked for
        self._task: asyncio.Task[None] | None = None
        #: What listeners that begin or resume get first: made once for all that come in one tick.
        self._first: dict[Position | None, bytes] = {}

    @property
    def listeners(self) -> int:
        """How many there are."""
        return self._listeners.total()

    @contextmanager
    def place(self, key: str | None) -> Iterator[None]:
        """A listener's place. Raises TooManyListeners."""
        if (
            self._closed
            or self.listeners >= self._most
            or (key is not None and self._listeners[key] >= self._by_key)
        ):
            raise TooManyListeners
        if self._task is None or self._task.done():
            self._begin_task()
        self._listeners[key] += 1
        try:
            yield
        finally:
            self._listeners[key] -= 1
            if not self._listeners[key]:
                del self._listeners[key]
            if not self._listeners and self._task is not None:
                self._task.cancel()
                self._task = None

    async def events(
        self, since: Position | None, allowed: Callable[[], bool], beat_s: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The events for one listener, which has a place. `since`: what it knows already. `beat_s`:
        so long after an event without another one it gets the event `beat`.

        `allowed` is asked every `LOOK_S` as far as the listener wakes, at least every `BEAT_S`, and
        at each `check`; the stream ends where it says no.
        """
        pause = BEAT_S if beat_s is None else beat_s
        begun = self._clock.monotonic_s()
        task = self._task
        yield b"retry: 2000\n\n"
        if since is not None:
            while not self._at.covers(since) and self._follows(task):
                waited = self._clock.monotonic_s() - begun
                if waited > min(AHEAD_S, MOST_S):
                    since = Position(-1, -1)  # the topics are other ones than it knows
                    break
                await self._wait(TICK_S)
        if not self._follows(task):
            yield _dropped(_LOST)
            return
        mine = self._next
        yield self._begin(since)
        looked, checks = self._clock.monotonic_s(), self._checks
        while True:
            now = self._clock.monotonic_s()
            if now - begun > MOST_S:
                yield _dropped("the stream has lasted long enough: resume it")
                return
            if now - looked > min(LOOK_S, BEAT_S) or checks != self._checks:
                looked, checks = now, self._checks
                if not allowed():
                    yield _dropped("the key, or the session, is not valid any more")
                    return
            if not self._follows(task):
                yield _dropped(_LOST)
                return
            behind = self._next - mine
            if behind > len(self._held):
                yield _dropped("the events are read too slowly: resume")
                return
            if behind:
                mine += 1
                yield self._held[len(self._held) - behind]
            elif not await self._wait(min(pause, max(0.0, begun + MOST_S - now))):
                yield _COMMENT if beat_s is None else _event("beat", self._at, self._aged({}))

    def close(self) -> None:
        """End all streams for good: their listeners resume at another worker."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._wake()

    def check(self) -> None:
        """Ask now whether each listener may still listen."""
        self._checks += 1
        self._wake()

    async def _wait(self, seconds: float) -> bool:
        """Wait for the next event; False if none came in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._turn.wait()
        except TimeoutError:
            return False
        return True

    def _begin_task(self) -> None:
        """Begin to make events. What changed since the former task ended is in none of them, so its
        listeners do not go on with this one.
        """
        self._at, self._looked_at = self._position(), self._clock.monotonic_s()
        self._told = self._totals()
        self._first.clear()
        self._wake()
        self._task = asyncio.create_task(self._run(), name="events")
        self._task.add_done_callback(self._ended)

    def _follows(self, task: "asyncio.Task[None] | None") -> bool:
        """Whether the task that a listener began with still makes the events."""
        return task is not None and task is self._task and not task.done()

    def _wake(self) -> None:
        """End the wait of all listeners. Whoever waits from now on waits for the next time."""
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(tick_s(self.listeners))
            before = self._next
            self._tick()
            if self._next != before:
                self._wake()

    def _tick(self) -> None:
        """Make one event of what has changed, if anything has."""
        at, former = self._position(), self._at
        self._first.clear()
        self._at, self._looked_at = at, self._clock.monotonic_s()
        found = self._totals()
        news: dict[str, Any] | None = {"sources": [], "requests": []}
        if at != former:
            news = changed(self._states, self._requests, former)
        if news is not None and found == self._told and not any(news.values()):
            return
        self._told = found
        if news is None:
            self._hold(_event("reload", at, self._aged({"totals": found})))
        else:
            self._hold(_event("change", at, self._aged({**news, "totals": found})))

    def _hold(self, event: bytes) -> None:
        self._held.append(event)
        self._next += 1

    def _begin(self, since: Position | None) -> bytes:
        """What a listener gets first."""
        known = self._first.get(since)
        if known is not None:
            return known
        found = self._aged({"totals": self._told})
        if since is None:
            made = _event(
                "hello", self._at, {**found, "requests": running(self._states, self._requests)}
            )
        elif (news := self._news(since)) is None:
            made = _event("reload", self._at, found)
        else:
            made = _event("change", self._at, {**news, **found})
        self._first[since] = made
        return made

    def _news(self, since: Position) -> dict[str, Any] | None:
        return None if since.log < 0 else changed(self._states, self._requests, since)

    def _aged(self, data: dict[str, Any]) -> dict[str, Any]:
        silent = max(self._states.silent_s(), self._requests.silent_s())
        age = silent + self._clock.monotonic_s() - self._looked_at
        return {**data, "age_s": round(age, 3)}

    def _position(self) -> Position:
        return Position(self._states.position, self._requests.position)

    def _totals(self) -> dict[str, Any]:
        return totals(self._states, self._requests, self._catalog.sweep)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "GET /events: the task that makes the events ended with an error; its listeners "
                "are dropped, and the next one begins it again",
                exc_info=error,
            )
            self._wake()


def _event(name: str, at: Position, data: object) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (
        name.encode(),
        str(at).encode(),
        orjson.dumps(data),
    )


def _dropped(reason: str) -> bytes:
    return b"event: dropped\ndata: %s\n\n" % orjson.dumps({"reason": reason})
