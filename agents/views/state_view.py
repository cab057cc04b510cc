"""This worker's copy of `lifecycle.state`."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from agents.coordinator.rules.bounds import HUGE
from agents.names.index import NameIndex
from agents.views.erasure_view import ErasureView
from agents.views.offsets import since
from schemas.records import codec
from schemas.records.lifecycle import WORKING, SourceState, State
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import names_source, pass_over, records_of
from streams.kafka.log import ReaderOptions
from streams.kafka.stored_format import check_schema
from streams.kafka.topics import Topics

__all__ = ["StateView", "follow"]


class StateView:
    """The present record of every source, and events that readers can wait for.

    One task updates it and many read it, all in one event loop.
    """

    def __init__(self) -> None:
        self._sources: dict[str, SourceState] = {}
        #: Shards ask for the few sources that are on their way, at every change.
        self._names: dict[State, set[str]] = {state: set() for state in State}
        #: The last version of each source that shards had to carry out.
        self._worked: dict[str, int] = {}
        #: Those whose work waits for a late shard, with the time since when; and those whose record
        #: has a failure.
        self._stuck: dict[str, int] = {}
        self._failed: set[str] = set()
        #: Visible sources that have been in the archive.
        self._back: set[str] = set()
        self.erasures = ErasureView()
        """What the coordinator asks of the shards beside it: users to be erased."""
        self.names = NameIndex()
        """The same records by what people call them."""
        #: Where the record of each source was written, ascending.
        self._written_at: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self.changes = 0
        """Grows with every record applied: a reader compares it with what it last saw."""
        self.position = 0
        """The next offset of `lifecycle.state` to be read."""
        self.silent_s: Callable[[], float] = lambda: 0.0
        """Seconds since a broker last answered the reader."""
        self.caught_up = asyncio.Event()
        """Set once all that was there when the reading began has been applied."""

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[SourceState]:
        """All sources, sorted by name, as they are now."""
        return iter([self._sources[name] for name in sorted(self._sources)])

    def get(self, source: str) -> SourceState | None:
        """The record of a source; None if there is none."""
        return self._sources.get(source)

    def hidden(self, source: str) -> bool:
        """Whether the source's data is excluded from every answer. An unknown source is visible."""
        found = self._sources.get(source)
        return found is not None and found.hidden

    def worked(self, source: str) -> int:
        """The last version that shards had to carry out, of the records read so far; 0 if there is
        none. The log may have been compacted past it.
        """
        return self._worked.get(source, 0)

    def brought_back(self) -> frozenset[str]:
        """The visible sources that have been in the archive, according to the records read so
        far.
        """
        return frozenset(self._back)

    def in_states(self, states: Iterable[State]) -> Iterator[SourceState]:
        """The sources in any of these states, sorted by name."""
        names = sorted(name for state in set(states) for name in self._names[state])
        return iter([self._sources[name] for name in names])

    def counts(self) -> dict[str, int]:
        """How many sources are in each state that any is in."""
        return {state.value: len(names) for state, names in self._names.items() if names}

    def stuck(self) -> Mapping[str, int]:
        """The sources whose work waits for a late shard: since when it runs, UTC milliseconds."""
        return self._stuck

    def failed(self) -> Set[str]:
        """The sources whose record has a failure."""
        return self._failed

    def changed_since(self, offset: int) -> Iterator[str]:
        """The sources whose record was written at this offset or later, the latest first."""
        return since(self._written_at, offset)

    def apply(self, key: bytes | None, value: bytes | None, offset: int = 0) -> SourceState | None:
        """Process one record, which has this offset; returns it. A null value deletes the source.

        A record with a lower version than the known one is ignored: it can only be an old copy.
        Raises Undecodable.
        """
        if value is None:
            former = self._sources.pop((key or b"").decode(errors="replace"), None)
            if former is not None:
                self._worked.pop(former.source, None)
                self._written_at.pop(former.source, None)
                self._back.discard(former.source)
                self._stuck.pop(former.source, None)
                self._failed.discard(former.source)
                self._names[former.state].discard(former.source)
                self.names.drop(former.source)
            self.changes += 1
            return None
        source = SourceState.from_record(codec.decode(value, "state"))
        if source.source.encode() != key or not 0 <= source.version < HUGE:
            raise codec.Undecodable("undecodable", f"version {source.version} of another source")
        former = self._sources.get(source.source)
        if former is None or former.version <= source.version:
            if former is not None:
                self._names[former.state].discard(former.source)
            self._sources[source.source] = source
            self.names.put(source)
            self._written_at.pop(source.source, None)
            self._written_at[source.source] = offset
            self._names[source.state].add(source.source)
            self._note_trouble(source)
            if source.state in WORKING:
                self._worked[source.source] = source.version
            if not source.hidden and (source.epoch or source.source in self._worked):
                self._back.add(source.source)
            else:
                self._back.discard(source.source)
            self.changes += 1
        return source

    def _note_trouble(self, source: SourceState) -> None:
        if source.stuck:
            self._stuck[source.source] = source.updated_at
        else:
            self._stuck.pop(source.source, None)
        (self._failed.discard if source.failure is None else self._failed.add)(source.source)

    async def advance(self, position: int) -> None:
        """Note that all records below `position` have been applied, and wake waiting readers."""
        async with self._changed:
            self.position = max(self.position, position)
            self._changed.notify_all()

    async def asked(self) -> None:
        """Wake waiting readers, because `erasures` has changed."""
        async with self._changed:
            self.changes += 1
            self._changed.notify_all()

    async def reached(self, offset: int) -> None:
        """Wait until the record at `offset` has been applied. The caller sets the deadline."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.position > offset)

    async def changed(self, since: int) -> int:
        """Wait until `changes` differs from `since`; returns it. The caller sets the deadline."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.changes != since)
        return self.changes


async def follow(environment: Environment, view: StateView) -> None:
    """Update `view` from the beginning of `lifecycle.state` until cancelled.

    Waits while a broker does not answer; raises Recoverable if none answers at the start. A record
    that cannot be read, or that deletes a source, does not come from the coordinator: it is skipped
    with a warning, and the previous record counts. If there was no previous record, the source's
    state is unknown; then the view does not catch up until the coordinator has published the source
    again, which it does at once.
    """
    settings, kafka = environment.settings, environment.kafka
    partition = (Topics(settings.prefix).state, 0)
    start, end = (await kafka.admin.bounds([partition]))[partition]
    reader = kafka.reader({partition: start}, ReaderOptions(name="state-view"))
    await reader.start()
    view.silent_s = reader.silent_s
    damaged: set[str] = set()
    try:
        while True:
            if reader.position(partition) >= end:
                damaged -= {source for source in damaged if view.get(source) is not None}
                if not damaged:
                    view.caught_up.set()
            await view.advance(reader.position(partition))
            for batch in await reader.fetch():
                for record in records_of(batch):
                    try:
                        if record.value is None:
                            raise codec.Undecodable("undecodable", "a source is never deleted")
                        view.apply(record.key, record.value, record.offset)
                    except codec.Undecodable as error:
                        check_schema(batch, record)
                        pass_over(batch.topic, batch.partition, record.offset, str(error))
                        if names_source(record.key) and not view.caught_up.is_set():
                            damaged.add((record.key or b"").decode())
    finally:
        await reader.close()
