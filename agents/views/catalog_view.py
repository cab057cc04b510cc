"""This worker's copy of the definitions, as the coordinator has accepted them.

Of two records of one key, compaction may leave only the older one in `catalog`. The coordinator has
ignored that one, and its log remembers the newer. So the view reads the coordinator's log instead
of the topic: then a worker that has just started and a worker that has read everything give the
same answers.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from agents.coordinator import log as log_topic
from agents.coordinator.records import definition
from agents.coordinator.rules import ledger
from agents.coordinator.rules.decide import decide
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.quarantine import Quarantined, readable_uses
from agents.coordinator.rules.state import CoordinatorState
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.views.request_view import RequestView
from agents.views.state_view import StateView
from schemas.records.lifecycle import Definition, DefinitionPart, is_source
from schemas.records.registry import FILES
from streams.kafka.environment import Environment
from streams.kafka.foreign_records import own_key, pass_over, records_of
from streams.kafka.log import Log, ReaderOptions
from streams.kafka.remote_registry import registry_of
from streams.kafka.stored_format import stored_records_of
from streams.kafka.topic_reader import read_each, read_stored
from streams.kafka.topics import Topics

__all__ = ["CatalogEntry", "CatalogView", "follow", "read"]


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A definition with its parts: the names of its steps and variations by id."""

    definition: Definition
    steps: Mapping[str, str] = field(default_factory=dict)
    variations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, definition: Definition) -> Self:
        """A definition with its parts by id."""
        return cls(definition, _names(definition.steps), _names(definition.variations))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """From a decoded `definition` record."""
        return cls.of(Definition.from_record(record))


class CatalogView:
    """The present definition of every key. One task updates it and many read it, all in one event
    loop.
    """

    def __init__(self) -> None:
        self._entries: dict[str, CatalogEntry] = {}
        self._tagged: dict[str, set[str]] = {}
        self.changes = 0
        """Grows with every record that changed something."""
        self.quarantined: dict[str, Quarantined] = {}
        """What is quarantined under keys whose latest record cannot be read."""
        self.sweep = RetentionSweep()
        """Where the sweep stands."""
        self.taken_in: Mapping[str, int] = {}
        """The next offset of each input topic that the coordinator has to take in."""
        self.caught_up = asyncio.Event()
        """Set once all that was there when the reading began has been applied."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[CatalogEntry]:
        """All definitions, sorted by key, as they are now."""
        return iter([self._entries[key] for key in sorted(self._entries)])

    def get(self, key: str) -> CatalogEntry | None:
        """The definition of `campaign:ID`, `canvas:ID`, `segment:ID` or `content_card:ID`."""
        return self._entries.get(key)

    def tagged(self, tag: str) -> frozenset[str]:
        """The keys, of any kind, whose definition has the tag."""
        return frozenset(self._tagged.get(tag, ()))

    def sources(self) -> Iterator[CatalogEntry]:
        """The campaigns and Canvases, sorted by key."""
        return (entry for entry in self if is_source(entry.definition.key))

    def segments(self) -> Iterator[CatalogEntry]:
        """The segments, sorted by key."""
        return self.of_kind("segment")

    def of_kind(self, kind: str | None) -> Iterator[CatalogEntry]:
        """The definitions of one kind, or all without one, sorted by key."""
        start = "" if kind is None else f"{kind}:"
        wanted = sorted(key for key in self._entries if key.startswith(start))
        return iter([self._entries[key] for key in wanted])

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Process one record of the coordinator's log; most records concern something else.

        The coordinator has judged the records of `catalog`: the definition that it has written last
        counts, for every worker. Raises ledger.Unreadable.
        """
        name = own_key(key) or ""
        letter, _, rest = name.partition("/")
        if name == log_topic.CURSOR:
            self.taken_in = log_topic.cursor_of(value)
        elif not ledger.known(name) or letter not in ("k", "a", "w"):
            return
        else:
            found = None if value is None else ledger.parsed(name, value)
            if letter == "k":
                self._put(rest, None if found is None else CatalogEntry.of(found))
            elif letter == "a":
                self._quarantine(rest, found)
            else:
                self.sweep = found or RetentionSweep()

    def put(self, entry: CatalogEntry) -> None:
        """Add a definition that is in no record yet, whatever its age."""
        self._put(entry.definition.key, entry)

    def _put(self, key: str, entry: CatalogEntry | None) -> None:
        former = self._entries.pop(key, None)
        for tag in former.definition.tags if former is not None else ():
            keys = self._tagged.get(tag, set())
            keys.discard(key)
            if not keys:
                self._tagged.pop(tag, None)
        if entry is not None:
            self._entries[key] = entry
            for tag in entry.definition.tags:
                self._tagged.setdefault(tag, set()).add(key)
        self.changes += 1

    def _quarantine(self, key: str, record: Quarantined | None) -> None:
        if record is None:
            self.quarantined.pop(key, None)
        else:
            self.quarantined[key] = record
        self.changes += 1


async def follow(
    environment: Environment,
    view: CatalogView,
    requests: RequestView | None = None,
    states: StateView | None = None,
) -> None:
    """Update `view` and `requests` from the coordinator's log until cancelled. Readers of `states`,
    which shares the erasures of `requests`, are told of new ones.

    The view has caught up once the coordinator has processed all records that were in `catalog`
    when the reading began, and the view has read the results. Waits while a broker does not answer;
    raises Recoverable if none answers at the start.
    """
    settings, kafka = environment.settings, environment.kafka
    topics = Topics(settings.prefix)
    log_at, catalog_at = (topics.coordinator, 0), (topics.catalog, 0)
    spans = await kafka.admin.bounds([log_at, catalog_at])
    start, end = spans[log_at]
    reader = kafka.reader({log_at: start}, ReaderOptions(name="catalog-view"))
    await reader.start()
    if requests is not None:
        requests.silent_s = reader.silent_s
    last: int | None = None
    try:
        while True:
            if not view.caught_up.is_set() and reader.position(log_at) >= end:
                taken = view.taken_in.get(topics.catalog, 0)
                if last is None:
                    last = await _last_record(kafka, catalog_at, taken, spans[catalog_at])
                if taken > last:
                    view.caught_up.set()
            if requests is not None:
                if reader.position(log_at) >= end:
                    requests.caught_up.set()
                await requests.advance(reader.position(log_at))
            if states is not None and reader.position(log_at) >= end:
                states.erasures.caught_up = True
                if states.erasures.stale:
                    states.erasures.stale = False
                    await states.asked()
            for batch in await reader.fetch():
                # a log of months is a hundred thousand records: others have their turn between
                await asyncio.sleep(0)
                for record in stored_records_of(batch):
                    try:
                        view.apply(record.key, record.value)
                        if requests is not None:
                            requests.apply(record.key, record.value, record.offset)
                    except ledger.Unreadable as error:
                        # what was read before holds, as it does for the coordinator
                        pass_over(batch.topic, batch.partition, record.offset, error.message)
    finally:
        await reader.close()


async def _last_record(
    kafka: Log, catalog: tuple[str, int], taken: int, span: tuple[int, int]
) -> int:
    """The last offset at or above `taken` that holds a record; -1 if none does.

    The log's end is not enough: transaction markers may follow the last record.
    """
    start, end = span
    last = -1
    if taken >= end:
        return last
    reader = kafka.reader({catalog: max(start, taken)}, ReaderOptions(name="catalog-end"))
    await reader.start()
    try:
        while reader.position(catalog) < end:
            for batch in await reader.fetch():
                last = max([last, *(record.offset for record in records_of(batch))])
    finally:
        await reader.close()
    return last


async def read(environment: Environment) -> CatalogView:
    """All definitions of the coordinator, including those of `catalog` that it has not processed
    yet.

    Raises as `topic_reader.read_stored`.
    """
    settings, kafka = environment.settings, environment.kafka
    now = environment.clock.now_ms()
    view, topics = CatalogView(), Topics(settings.prefix)
    async for _, partition, record in read_stored(kafka, topics.coordinator):
        try:
            view.apply(record.key, record.value)
        except ledger.Unreadable as error:
            pass_over(topics.coordinator, partition, record.offset, error.message)
    taken = view.taken_in.get(topics.catalog, 0)
    read_now = read_each(kafka, topics.catalog)
    later = [one async for _, _, one in read_now if one.offset >= taken]
    kept = {entry.definition.key: entry.definition for entry in view}
    used = {key: readable_uses(definition) for key, definition in kept.items()}
    state = CoordinatorState(catalog=kept, quarantined=dict(view.quarantined), used=used)
    source = registry_of(settings) or FILES
    inputs = [definition(record, now, source)[0] for record in later]
    decided = decide(state, inputs, now, Policy.of(settings)).state
    for key in {one.key for one in inputs}:
        found = decided.catalog.get(key)
        view._put(key, None if found is None else CatalogEntry.of(found))
        view._quarantine(key, decided.quarantined.get(key))
    return view


def _names(parts: Iterable[DefinitionPart]) -> dict[str, str]:
    return {part.id: part.name for part in parts}
