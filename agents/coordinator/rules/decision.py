"""The state while a batch of inputs is being decided: copies that may change, and the list of
outputs. `finish` turns it into the next state.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from agents.coordinator.rules import outputs
from agents.coordinator.rules.outputs import Output
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.quarantine import Quarantined
from agents.coordinator.rules.state import (
    CoordinatorState,
    Erasure,
    Request,
    RequestResult,
    Source,
)
from schemas.records.lifecycle import HIDDEN, Definition

__all__ = ["Changed", "Decision", "DecisionBuilder"]

Changed = tuple[str, str]
"""What kind of bookkeeping has changed (`source`, `definition`, ...), and its key."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state, the outputs for topics, and the changed bookkeeping."""

    state: CoordinatorState
    outputs: tuple[Output, ...]
    changed: tuple[Changed, ...]


class DecisionBuilder:
    """Builds the next state. Read its mappings freely; change them only by the methods."""

    def __init__(self, state: CoordinatorState, policy: Policy, now: int) -> None:
        self.policy = policy
        self.now = now
        self.catalog = dict(state.catalog)
        self.sources = dict(state.sources)
        self.requests = dict(state.requests)
        self.results = dict(state.results)
        self.erasures = dict(state.erasures)
        self.sweep = state.sweep
        self.quarantined = dict(state.quarantined)
        self.used = dict(state.used)
        self.exempt = state.exempt
        self.trace = ""
        """The trace context of what is being processed: outputs get it."""
        self.unreconciled: dict[str, str] = {}
        """Sources to be looked at again once the catalog's news are all in, each with the trace
        context of its record."""
        self.catalog_traces: set[str] = set()
        """The trace contexts of the catalog's news."""
        self.exempt_stale = False
        self.retold: set[str] = set()
        """Requests whose sources have been told again."""
        self._times: Counter[str] = Counter()
        self._emitted: list[Output] = []
        self._published: dict[str, str] = {}
        self._changed: dict[Changed, None] = {}

    def once(self, what: str, most: int = 1) -> bool:
        """Whether this is one of the first `most` occurrences of `what` in these inputs."""
        self._times[what] += 1
        return self._times[what] <= most

    def define(self, definition: Definition) -> None:
        """Store a definition."""
        self.catalog[definition.key] = definition
        self._changed["definition", definition.key] = None

    def undefine(self, key: str) -> None:
        """Remove a definition."""
        self.catalog.pop(key, None)
        self.used.pop(key, None)
        self._changed["definition", key] = None

    def quarantine(self, key: str, record: Quarantined | None) -> bool:
        """Quarantine a record, or release it; returns whether that is a change."""
        if self.quarantined.get(key) == record:
            return False
        if record is None:
            del self.quarantined[key]
        else:
            self.quarantined[key] = record
        self.exempt_stale = True
        self._changed["quarantined", key] = None
        return True

    def put(self, source: Source, *, publish: bool = False) -> Source:
        """Store a source; returns the stored one.

        A change of the fields in `_core` makes a new version. The record of `lifecycle.state` is
        published if it has changed, or if `publish` requests it.
        """
        old = self.sources.get(source.source)
        if old is None or _core(old) != _core(source):
            source = replace(source, version=old.version + 1 if old else 1, changed_at=self.now)
        if old is not None and old.due_at != source.due_at:
            source = replace(source, noticed=())
        if publish or old is None or old.shown() != source.shown():
            self._published[source.source] = self.trace
        if old != source:
            self.sources[source.source] = source
            self._changed["source", source.source] = None
        return source

    def note(self, source: Source) -> Source:
        """Store non-durable fields of a source: nothing is written."""
        self.sources[source.source] = source
        return source

    def put_progress(self, source: str) -> None:
        """Write how far the shards are with a source; nothing of it is read back."""
        self._changed["progress", source] = None

    def put_sweep(self, **changes: Any) -> None:
        """Change the state of the sweep."""
        self.sweep = replace(self.sweep, **changes)
        self._changed["sweep", ""] = None

    def put_request(self, request: Request) -> None:
        """Store a request."""
        self.requests[request.request_id] = request
        self._changed["request", request.request_id] = None

    def put_erasure(self, request_id: str, erasure: Erasure) -> None:
        """Store what is asked of the shards, and what they have reported."""
        former = self.erasures.get(request_id)
        self.erasures[request_id] = erasure
        if former is None:
            self._changed["erasure", request_id] = None
        if former is None or former.orders != erasure.orders:
            self._changed["order", request_id] = None
        for partition, part in erasure.parts.items():
            if former is None or former.parts.get(partition) != part:
                self._changed["part", f"{request_id}\x1f{partition}"] = None

    def forget_request(self, request: Request) -> None:
        """Remove a request and its results."""
        del self.requests[request.request_id]
        erasure = self.erasures.pop(request.request_id, None)
        if erasure is not None:
            self._changed["order", request.request_id] = None
            self._changed["erasure", request.request_id] = None
            for partition in erasure.parts:
                self._changed["part", f"{request.request_id}\x1f{partition}"] = None
        self._changed["request", request.request_id] = None
        for source in request.sources:
            self.results.pop((request.request_id, source), None)
            self._changed["result", f"{request.request_id}\x1f{source}"] = None

    def put_result(self, request_id: str, source: str, result: RequestResult) -> None:
        """Store the last result of one source in a request."""
        self.results[request_id, source] = result
        self._changed["result", f"{request_id}\x1f{source}"] = None

    def emit(self, output: Output) -> None:
        """Write one outbound record."""
        self._emitted.append(replace(output, trace=self.trace) if self.trace else output)

    @contextmanager
    def caused_by(self, trace: str) -> Iterator[None]:
        """Outputs of the block belong to this trace."""
        former, self.trace = self.trace, trace
        try:
            yield
        finally:
            self.trace = former

    def audit(self, source: Source | str | None, decision: str, **facts: Any) -> None:
        """Write one audit entry, about a source or another key of the catalog.

        The entry has the source's version unless `facts` gives another.
        """
        name = source.source if isinstance(source, Source) else source
        if isinstance(source, Source):
            facts.setdefault("version", source.version)
        self.emit(outputs.audit(name, decision, self.now, **facts))

    def finish(self) -> Decision:
        """The next state. State records come first, one for each changed source."""
        states = tuple(
            replace(outputs.state(self.sources[name]), trace=trace)
            for name, trace in self._published.items()
        )
        state = CoordinatorState(
            catalog=self.catalog,
            sources=self.sources,
            requests=self.requests,
            results=self.results,
            erasures=self.erasures,
            sweep=self.sweep,
            quarantined=self.quarantined,
            used=self.used,
            exempt=self.exempt,
        )
        return Decision(state, states + tuple(self._emitted), tuple(self._changed))


def _core(source: Source) -> tuple[object, ...]:
    """The fields whose changes make a new version.

    Shards act on a version of EXPIRING or RESTORING once. So while a source is hidden, only its
    state makes a new version: a hold or a new tag must not start the work again.
    """
    if source.state in HIDDEN:
        return (source.state, source.epoch)
    return (source.state, source.epoch, source.due_at, source.exempt_by, source.held)
