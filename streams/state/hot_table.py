"""The hot table: the contents of a shard, rebuilt by applying changelog entries in order.

Recovery and the running shard use the same `apply`, so a committed step has the same effect in
both. The hot table has the deltas as frames and the index of each segment; segment bytes stay in
the state store.
"""

import builtins
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from schemas.segment.index import SegmentIndex
from schemas.tables import delta
from schemas.tables.erased import NO_MASK, ErasedUser, ErasureKey, Mask
from schemas.tables.interaction import SCHEMA
from schemas.tables.repeats import packed
from streams.state import auxiliary_table as auxiliary
from streams.state import keys, pieces
from streams.state.delta_frames import DeltaFrames
from streams.state.erasures import ErasureMarks, ErasureWork, erased_user
from streams.state.stored_value import stored_value

__all__ = ["Applied", "ChangelogOrigin", "DataSize", "HotTable", "ManifestEntry"]

Put = tuple[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A manifest entry: the archive offset of a segment, its rows, bytes, checksum and epoch, and
    the generation of the mask that its rows have passed.
    """

    offset: int
    rows: int
    bytes: int
    checksum: str
    epoch: int
    masked: int = 0

    def to_json(self) -> builtins.bytes:
        """As a changelog value."""
        plain = asdict(self)
        if not self.masked:
            del plain["masked"]  # as former versions wrote it
        return json.dumps(plain).encode()


@dataclass(frozen=True, slots=True)
class Applied:
    """The lifecycle version of a source that the shard has applied, and its state."""

    version: int
    state: str

    def to_json(self) -> bytes:
        """As a changelog value."""
        return json.dumps(asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class ChangelogOrigin:
    """Written once, when the changelog is created: a random incarnation, N, and the format."""

    incarnation: str
    partitions: int
    format: int

    def to_json(self) -> bytes:
        """As a changelog value."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, value: bytes) -> "ChangelogOrigin":
        """What `to_json` wrote. Raises ValueError or TypeError otherwise."""
        return stored_value(cls, value)


@dataclass(frozen=True, slots=True)
class DataSize:
    """Rows, bytes and segments of all sources together."""

    rows: int = 0
    bytes: int = 0
    segments: int = 0

    def plus(self, rows: int, weight: int, segments: int) -> "DataSize":
        """The size with so much more, or less."""
        return DataSize(self.rows + rows, self.bytes + weight, self.segments + segments)


@dataclass(frozen=True, slots=True)
class Layout:
    """Segments by id, and for each source the ids of the segments with its rows; never changed."""

    segments: Mapping[str, SegmentIndex]
    by_source: Mapping[str, tuple[str, ...]]


def _by_letter() -> dict[bytes, Any]:
    return defaultdict(dict)


@dataclass
class HotTable:
    """Deltas, segment indexes, manifest, cursor and applied versions of one shard."""

    origin: ChangelogOrigin | None = None
    cursor: dict[str, int] = field(default_factory=dict)
    #: Of which incarnation of its topic each offset of the cursor is: the ids of the topics.
    cursor_ids: dict[str, str] = field(default_factory=dict)
    deltas: DeltaFrames = field(default_factory=DeltaFrames)
    next_sequence: int = 0
    segments: dict[str, SegmentIndex] = field(default_factory=dict)
    #: The sums of the segments, and of the manifest.
    hot: DataSize = DataSize()
    archive: DataSize = DataSize()
    #: Ids that never change: pins of the table share them.
    by_source: dict[str, tuple[str, ...]] = field(default_factory=dict)
    manifest: dict[str, dict[str, ManifestEntry]] = field(default_factory=dict)
    #: The sums of the manifest: rows, bytes and segments of each source in the archive.
    archived_sizes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    applied: dict[str, Applied] = field(default_factory=dict)
    #: Deltas of the auxiliary tables by letter and key, and their runs' sizes in bytes.
    auxiliary: dict[bytes, dict[bytes, pl.DataFrame]] = field(default_factory=_by_letter)
    runs: dict[bytes, dict[bytes, int]] = field(default_factory=_by_letter)
    #: Bytes that the auxiliary tables' deltas take in memory, about.
    auxiliary_bytes: int = 0
    #: The number of recent event id hashes in each entry; the state store has the hashes.
    window: dict[bytes, int] = field(default_factory=dict)
    #: Keys of a former version's hashes, to be deleted.
    former: set[bytes] = field(default_factory=set)
    #: Sources whose numbers of unique users were kept when they expired: in how many pieces.
    uniques: dict[str, int] = field(default_factory=dict)
    #: Grows with every change of the segments, the manifest and the runs.
    changes: int = 0
    #: Grows with every change of `applied`.
    works: int = 0
    #: Time since the last write to the shard when it was taken over, milliseconds.
    rested_ms: int = 0
    #: Without it, erased users cannot be told: `recover` refuses to go on.
    erasure_key: ErasureKey | None = field(default=None, repr=False)
    erasure_marks: ErasureMarks | None = None
    #: By request id: what this shard has done for requests that are not closed.
    erasures: dict[str, ErasureWork] = field(default_factory=dict)
    mask: Mask = NO_MASK
    #: Segments, and runs of the auxiliary tables, that may hold rows which the mask hides.
    unclean: set[str] = field(default_factory=set)
    unclean_runs: set[bytes] = field(default_factory=set)
    #: All entries of the manifest have passed the mask up to this generation.
    archive_clean: int = 0
    _layout: Layout | None = None

    @property
    def delta_rows(self) -> int:
        """Rows of all deltas."""
        return self.deltas.rows

    def cursor_put(self, offsets: Mapping[str, int]) -> Put:
        """The entry that moves the cursor; it also stores the last sequence number of steps."""
        fields = {
            "offsets": dict(offsets),
            "sequence": self.next_sequence + 1,
            "topics": self.cursor_ids,
        }
        return keys.CURSOR, json.dumps(fields).encode()

    def apply(
        self, puts: Iterable[Put], frames: Mapping[bytes, pl.DataFrame] | None = None
    ) -> None:
        """Applies committed entries in order; `frames` saves decoding deltas that were made here,
        and have no rows that the mask hides.

        Raises `CorruptSegment` for a delta that cannot be decoded.
        """
        erased: list[ErasedUser] = []
        if self.unclean or self.unclean_runs:
            puts = list(puts)
            dirty = self._dirty(puts)
        else:
            dirty = False
        for key, value in puts:
            match keys.kind(key):
                case b"g" if value is not None:
                    erased.append(erased_user(key, value))
                case b"z" if value is not None:
                    self.erasure_marks = ErasureMarks.of(value)
                case b"j":
                    self._erasure(keys.name(key), value)
                case b"d":
                    self._delta(key, value, frames or {})
                case b"i":
                    self._segment(keys.name(key), value)
                case b"m":
                    self._manifest_entry(*keys.manifest_entry_parts(key), value)
                case b"v":
                    self._version(keys.name(key), value)
                case b"e" | b"q" | b"x":
                    self._side_delta(key, value, frames or {})
                case b"a" | b"r" | b"y":
                    self._run(key, value)
                case b"h":
                    self._seen(key, value)
                case b"w":
                    (self.former.discard if value is None else self.former.add)(key)
                case b"n":
                    self._uniques(keys.name(key), value)
                case b"c" if value is not None:
                    self._cursor(json.loads(value))
                case b"o" if value is not None:
                    self.origin = ChangelogOrigin.from_json(value)
                case _:
                    pass  # segment bytes and the fence leave no trace in memory
        if dirty:
            self._inherit(list(puts))
        if erased:
            self._erase(erased)
        self.deltas.rebuild()

    def _dirty(self, puts: Sequence[Put]) -> bool:
        """Whether a step removes segments or runs that may hold hidden rows."""
        gone = [key for key, value in puts if value is None]
        return any(
            keys.name(key) in self.unclean if keys.kind(key) == b"i" else key in self.unclean_runs
            for key in gone
        )

    def _inherit(self, puts: Sequence[Put]) -> None:
        """What replaces something that may hold hidden rows may hold them too."""
        letters = [table.run for table in auxiliary.TABLES]
        for key in (key for key, value in puts if value is not None):
            if keys.kind(key) == b"i":
                self.unclean.add(keys.name(key))
            elif keys.kind(key) in letters:
                self.unclean_runs.add(key)

    def _erase(self, users: Iterable[ErasedUser]) -> None:
        """Change the mask. Deltas lose what it hides at once; what else may hold it is unclean."""
        former = self.mask
        base = former if former.key is self.erasure_key else Mask(self.erasure_key)
        marks = self.erasure_marks
        self.mask = base.changed(users, 0 if marks is None else marks.hot)
        if self.mask.generation == former.generation:
            return
        self.unclean = set(self.segments)
        self.unclean_runs = {key for held in self.runs.values() for key in held}
        if marks is None or marks.hot < self.mask.generation:
            self._mask_deltas()

    def _mask_deltas(self) -> None:
        whole = [frame["user"] for frame in self.deltas.frames()]
        found = list(self.mask.among(pl.concat(whole))) if whole else []
        for key in list(self.deltas) if found else ():
            frame = self.deltas[key]
            if frame["user"].is_in(found).any():
                self.deltas[key] = self.mask.rows(frame)
        for letter, held in self.auxiliary.items():
            table = auxiliary.BY_DELTA[letter]
            for key, frame in held.items():
                held[key] = table.masked(self.mask, frame)
        self._weigh_auxiliary()

    def settle(self) -> None:
        """After loading: what was clean when the marks were written last is clean."""
        marks = self.erasure_marks
        if marks is not None and marks.hot >= self.mask.generation:
            self.unclean_runs.clear()
            # what was restored for somebody who holds it may not have passed the mask
            self.unclean = {index.id for index in self.segments.values() if self._unmasked(index)}

    def _unmasked(self, index: SegmentIndex) -> bool:
        """Whether a segment comes from the archive and has not passed the mask there."""
        if len(index.sources) != 1:
            return False
        (source,) = index.sources
        entry = self.manifest.get(source, {}).get(index.id)
        return entry is not None and entry.masked < self.mask.generation

    def _erasure(self, request_id: str, value: bytes | None) -> None:
        if value is None:
            self.erasures.pop(request_id, None)
        else:
            self.erasures[request_id] = ErasureWork.of(value)

    def _cursor(self, fields: Mapping[str, Any]) -> None:
        self.cursor = dict(fields["offsets"])
        self.cursor_ids = dict(fields.get("topics", {}))  # a former version told none
        # Deltas go when they are flushed, and with them their numbers.
        self.next_sequence = max(self.next_sequence, fields["sequence"])

    def _delta(self, key: bytes, value: bytes | None, frames: Mapping[bytes, pl.DataFrame]) -> None:
        if value is None:
            self.deltas.discard(key)
            return
        self.deltas[key] = frames[key] if key in frames else delta.decode(value, SCHEMA)
        self.next_sequence = max(self.next_sequence, keys.delta_sequence(key) + 1)

    def _side_delta(
        self, key: bytes, value: bytes | None, frames: Mapping[bytes, pl.DataFrame]
    ) -> None:
        former = self.auxiliary[keys.kind(key)].pop(key, None)
        if former is not None:
            self.auxiliary_bytes -= auxiliary.weight(former)
        if value is not None:
            schema = auxiliary.BY_DELTA[keys.kind(key)].schema
            frame = frames[key] if key in frames else delta.decode(value, schema)
            self.auxiliary[keys.kind(key)][key] = frame
            self.auxiliary_bytes += auxiliary.weight(frame)
            self.next_sequence = max(self.next_sequence, keys.delta_sequence(key) + 1)

    def fold_auxiliary(self) -> None:
        """Save memory: fold the deltas of a table into one, under the key of the first.

        The other deltas stay, without rows, until a flush deletes them, because a flush takes whole
        deltas.
        """
        for table in auxiliary.TABLES:
            held = self.auxiliary[table.delta]
            if len(held) > 1:
                first = next(iter(held))
                rows = table.fold(pl.concat(held.values()))
                nothing = rows.clear()
                held.update(dict.fromkeys(held, nothing))
                held[first] = rows
        self._weigh_auxiliary()

    def _weigh_auxiliary(self) -> None:
        held_by_all = (frame for held in self.auxiliary.values() for frame in held.values())
        self.auxiliary_bytes = sum(map(auxiliary.weight, held_by_all))

    def _run(self, key: bytes, value: bytes | None) -> None:
        self.changes += 1
        if value is None:
            self.runs[keys.kind(key)].pop(key, None)
            self.unclean_runs.discard(key)
        else:
            self.runs[keys.kind(key)][key] = len(value)

    def _seen(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.window.pop(key, None)
        else:
            self.window[key] = packed(value)
            self.next_sequence = max(self.next_sequence, keys.delta_sequence(key) + 1)

    def _uniques(self, source: str, value: bytes | None) -> None:
        if value is None:
            self.uniques.pop(source, None)
        else:
            self.uniques[source] = pieces.count(value)

    def _segment(self, segment_id: str, value: bytes | None) -> None:
        self._layout = None
        self.changes += 1
        old = self.segments.pop(segment_id, None)
        if old is not None:
            self.hot = self.hot.plus(-old.rows, -old.bytes, -1)
        self.unclean.discard(segment_id)
        for source in old.sources if old is not None else ():
            holders = tuple(each for each in self.by_source.pop(source) if each != segment_id)
            if holders:
                self.by_source[source] = holders
        if value is None:
            return
        index = SegmentIndex.from_json(value)
        self.segments[segment_id] = index
        self.hot = self.hot.plus(index.rows, index.bytes, 1)
        if self.mask.generation and self._unmasked(index):
            self.unclean.add(segment_id)
        held, itself = self.by_source, (segment_id,)
        for source in index.sources:
            held[source] = held.get(source, ()) + itself

    def _manifest_entry(self, source: str, segment_id: str, value: bytes | None) -> None:
        self.changes += 1
        entries = self.manifest.setdefault(source, {})
        self._count_archived(source, entries.pop(segment_id, None), -1)
        if value is not None:
            entry = entries[segment_id] = stored_value(ManifestEntry, value)
            self.archive_clean = min(self.archive_clean, entry.masked)
            self._count_archived(source, entries[segment_id], 1)
        if not entries:
            del self.manifest[source]
            self.archived_sizes.pop(source, None)

    def _count_archived(self, source: str, entry: ManifestEntry | None, sign: int) -> None:
        if entry is not None:
            self.archive = self.archive.plus(sign * entry.rows, sign * entry.bytes, sign)
            rows, weight, count = self.archived_sizes.get(source, (0, 0, 0))
            rows, weight = rows + sign * entry.rows, weight + sign * entry.bytes
            self.archived_sizes[source] = rows, weight, count + sign

    def _version(self, source: str, value: bytes | None) -> None:
        self.works += 1
        if value is None:
            self.applied.pop(source, None)
        else:
            self.applied[source] = stored_value(Applied, value)

    def segments_of(self, source: str) -> list[SegmentIndex]:
        """The segments that hold rows of `source`, in the order of their first user."""
        found = [self.segments[segment_id] for segment_id in self.by_source.get(source, ())]
        return sorted(found, key=lambda index: (index.low, index.id))

    def own_segments(self, source: str) -> list[SegmentIndex]:
        """The segments that hold rows of `source` and of no other."""
        return [index for index in self.segments_of(source) if len(index.sources) == 1]

    def shared_segments(self, sources: Iterable[str]) -> list[SegmentIndex]:
        """The segments that hold rows of one of `sources` and rows of other sources."""
        ids = {segment_id for source in sources for segment_id in self.by_source.get(source, ())}
        return [self.segments[i] for i in sorted(ids) if len(self.segments[i].sources) > 1]

    def archived(self, index: SegmentIndex) -> bool:
        """Whether the segment has an entry in the manifest."""
        if len(index.sources) != 1:
            return False
        (source,) = index.sources
        return index.id in self.manifest.get(source, {})

    def rows_in_segments(self, source: str) -> int:
        """Stored rows of `source` in segments; one key may count several times."""
        return sum(self.segments[i].sources[source] for i in self.by_source.get(source, ()))

    def layout(self) -> Layout:
        """The current segments, and the ids by source. The object is made once and reused until a
        segment is added or removed.
        """
        if self._layout is None:
            self._layout = Layout(dict(self.segments), dict(self.by_source))
        return self._layout

    def sources_in_deltas(self) -> set[str]:
        """Every source that has rows in the deltas."""
        return set(self.deltas.sources())
