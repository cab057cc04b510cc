"""Checks records before they are sent, with the code that workers use to read them."""

from collections.abc import Sequence

from agents.coordinator import records as coordinator_inputs
from agents.coordinator.rules.inputs import DefinitionRead, DefinitionUnreadable
from agents.filters.references import UnreadableFilter, qualify, uses
from agents.shard.intake import limits_of
from agents.tools.records import Kind, ids_of
from schemas.decode.batch_pack import packed
from schemas.decode.batch_records import RecordBatch
from schemas.decode.decoder import decode
from schemas.decode.users import take_users
from schemas.records.lifecycle import SOURCE_KINDS
from schemas.records.registry import FILES, SchemaSource
from schemas.records.undecodable import REMEDIES
from streams.clock import Clock, SystemClock
from streams.kafka.remote_registry import registry_of
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["Inspection"]

_SYSTEM = SystemClock()
_FILTER = "unreadable_filter"
"""Not among the codes of rejects: the rest of such a definition counts."""


class Inspection:
    """Finds records that workers with these settings would reject.

    `ids` gives the schema ids of the records.
    """

    def __init__(self, settings: Settings, clock: Clock = _SYSTEM) -> None:
        self.ids = ids_of(settings)
        self._topics = Topics(settings.prefix)
        self._limits = limits_of(settings)
        self._source: SchemaSource = registry_of(settings) or FILES
        self._clock = clock
        self._sources: set[str] = set()

    def faults(
        self, kind: Kind, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> dict[int, str]:
        """Index -> fault, for the (key, value) pairs that would be rejected."""
        if not records:
            return {}
        topic = self._topics.prefix + kind.topic
        batch = packed(records, topic, self._clock.now_ms())
        found = self._definitions(batch) if kind.name == "definition" else self._rest(kind, batch)
        remedies = {**REMEDIES, _FILTER: "docs/filters.md has all filters and their arguments"}
        return {at: f"{code}: {detail}. {remedies[code]}" for at, code, detail in found}

    def take_sources(self) -> set[str]:
        """The campaigns and Canvases of the events checked since the previous call."""
        found, self._sources = self._sources, set()
        return found

    def _rest(self, kind: Kind, batch: RecordBatch) -> list[tuple[int, str, str]]:
        if kind.name == "user":
            rejects = take_users(
                [batch], 0, 1, 0, self._topics.inputs, self._limits, self._source
            ).rejects
        else:
            decoded = decode([batch], kind.name, limits=self._limits, source=self._source)
            rejects = decoded.rejects
            for name in SOURCE_KINDS:
                found = decoded.frame[f"{name}_id"].drop_nulls().unique()
                self._sources.update(qualify(name, one) for one in found if one)
        return [(one.offset, one.code, one.detail) for one in rejects]

    def _definitions(self, batch: RecordBatch) -> list[tuple[int, str, str]]:
        found = []
        for item in coordinator_inputs.read(self._topics, [batch], {}, self._clock.now_ms()):
            at = item.next_offset - 1
            if item.reject is not None:
                headers = dict(item.reject.headers)
                found.append((at, headers["code"].decode(), headers["detail"].decode()))
            elif isinstance(item.meaning, DefinitionUnreadable):
                found.append((at, "undecodable", item.meaning.detail))
            elif isinstance(item.meaning, DefinitionRead) and item.meaning.definition is not None:
                # workers would quarantine it, and keep hot what it names
                try:
                    uses(item.meaning.definition)
                except UnreadableFilter as error:
                    found.append((at, _FILTER, str(error)))
        return found
