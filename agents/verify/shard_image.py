"""What a shard holds, as its changelog says: the latest value of each key, without the rows.

The records of a changelog are applied in order. Segments are reduced to facts, other values to a
digest, so an image of millions of interactions takes some megabytes.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from agents.verify.segment_facts import SegmentFacts, facts_of
from schemas.errors import EmberlineError
from schemas.segment.index import SegmentIndex
from schemas.tables import delta, repeats
from schemas.tables.erased import ErasedUser
from schemas.tables.interaction import SCHEMA
from streams.state import auxiliary_table as auxiliary
from streams.state import foreign_entries, keys, pieces
from streams.state.erasures import ErasureMarks, ErasureWork, erased_user
from streams.state.hot_table import Applied, ChangelogOrigin, ManifestEntry
from streams.state.stored_value import stored_value

__all__ = ["DIGEST_BYTES", "ChangelogValue", "ShardImage"]

_AUXILIARY = {table.delta: table for table in auxiliary.TABLES}
_RUNS = {table.run: table for table in auxiliary.TABLES}
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class ChangelogValue:
    """Where the latest value of a key lies, and its digest; `fault` says why it cannot be read."""

    offset: int
    digest: bytes
    fault: str | None = None


@dataclass
class ShardImage:
    """One shard. `foreign` counts records that workers pass over.

    With a `mark`, `marked` has the values as they were at this offset, and `changed` the keys that
    have been written since.
    """

    partition: int
    partitions: int
    values: dict[bytes, ChangelogValue] = field(default_factory=dict)
    indexes: dict[str, SegmentIndex] = field(default_factory=dict)
    segments: dict[str, SegmentFacts] = field(default_factory=dict)
    manifest: dict[tuple[str, str], ManifestEntry] = field(default_factory=dict)
    """By (source, segment id)."""
    applied: dict[str, Applied] = field(default_factory=dict)
    cursor: Mapping[str, int] = field(default_factory=dict)
    cursor_ids: Mapping[str, str] = field(default_factory=dict)
    origin: ChangelogOrigin | None = None
    pieces: dict[str, int] = field(default_factory=dict)
    """By source whose numbers of users were kept: how many pieces they have."""
    delta_rows: dict[bytes, Mapping[str, int]] = field(default_factory=dict)
    """Rows by source of each delta."""
    erasure_marks: ErasureMarks | None = None
    erased: list[ErasedUser] = field(default_factory=list)
    """Every record of an erased user, in order: the last one of a user counts."""
    sink: Callable[[bytes, bytes | None], None] | None = None
    """Is given every entry that counts, and every deletion."""
    foreign: int = 0
    mark: int | None = None
    marked: dict[bytes, ChangelogValue] | None = None
    changed: set[bytes] = field(default_factory=set)

    def apply(
        self, offset: int, key: bytes | None, value: bytes | None, transactional: bool | None
    ) -> None:
        """Apply one record. A record that no shard can have written is passed over, as by
        workers."""
        if transactional is False and foreign_entries.fault(key, value) is not None:
            self.foreign += 1
            return
        if key is None:
            self.foreign += 1
            return
        if self.mark is not None and offset >= self.mark:
            self.end()
            self.changed.add(key)
        if self.sink is not None:
            self.sink(key, value)
        self._forget(key)
        if value is None:
            return
        digest = blake2b(value, digest_size=DIGEST_BYTES).digest()
        fault = None
        try:
            self._take(key, value)
        except (
            EmberlineError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            struct.error,
        ) as error:
            fault = str(error) or type(error).__name__
        self.values[key] = ChangelogValue(offset, digest, fault)

    def end(self) -> None:
        """No record below the mark follows: the values at the mark are those of now."""
        if self.mark is not None and self.marked is None:
            self.marked = dict(self.values)

    def _forget(self, key: bytes) -> None:
        if self.values.pop(key, None) is None:
            return
        match keys.kind(key):
            case b"d":
                self.delta_rows.pop(key, None)
            case b"i":
                self.indexes.pop(keys.name(key), None)
            case b"s":
                self.segments.pop(keys.name(key), None)
            case b"m":
                self.manifest.pop(keys.manifest_entry_parts(key), None)
            case b"v":
                self.applied.pop(keys.name(key), None)
            case b"n":
                self.pieces.pop(keys.name(key), None)
            case b"o":
                self.origin = None

    def _take(self, key: bytes, value: bytes) -> None:
        """Raises where the value cannot be read."""
        kind = keys.kind(key)
        if kind in _AUXILIARY:
            delta.decode(value, _AUXILIARY[kind].schema)
        elif kind in _RUNS:
            auxiliary.decode(value)
        match kind:
            case b"d":
                counts = delta.decode(value, SCHEMA).group_by("source").len()
                self.delta_rows[key] = dict(counts.iter_rows())
            case b"i":
                self.indexes[keys.name(key)] = SegmentIndex.from_json(value)
            case b"s":
                self._segment(keys.name(key), value)
            case b"m":
                entry = stored_value(ManifestEntry, value)
                self.manifest[keys.manifest_entry_parts(key)] = entry
            case b"v":
                self.applied[keys.name(key)] = stored_value(Applied, value)
            case b"n":
                self.pieces[keys.name(key)] = pieces.count(value)
            case b"h":
                repeats.unpack(value)
            case b"z":
                self.erasure_marks = ErasureMarks.of(value)
            case b"g":
                self.erased.append(erased_user(key, value))
            case b"j":
                ErasureWork.of(value)
            case b"c":
                fields = json.loads(value)
                self.cursor = dict(fields["offsets"])
                self.cursor_ids = dict(fields.get("topics", {}))
            case b"o":
                self.origin = ChangelogOrigin.from_json(value)

    def _segment(self, segment_id: str, value: bytes) -> None:
        index = self.indexes.get(segment_id)
        expected = () if index is None else (index.checksum,)
        facts, _ = facts_of(value, expected, self.partition, self.partitions)
        self.segments[segment_id] = facts

    def whole_segments(self) -> set[str]:
        """Ids of the hot segments whose bytes are those of their indexes."""
        return {
            name
            for name, index in self.indexes.items()
            if name in self.segments and self.segments[name].checksum == index.checksum
        }

    def by_source(self) -> dict[str, dict[str, ManifestEntry]]:
        """The manifest entries of each source, by segment id."""
        found: dict[str, dict[str, ManifestEntry]] = {}
        for (source, segment), entry in self.manifest.items():
            found.setdefault(source, {})[segment] = entry
        return found
