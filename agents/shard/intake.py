"""Turns fetched batches into the parts of a step: decodes them (by `schemas.decode`), then lays
them out.

Both run in threads and do not use the broker. Decoding goes in order, because it remembers event
ids; a decoded part can be laid out while the next one is decoded.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from agents.shard.deltas import DeltaEntry, parts
from agents.shard.jobs.context import ShardContext
from schemas.decode.batch import RecordBatch, SealedBatch
from schemas.decode.check import DEFAULT_LIMITS, RecordLimits
from schemas.decode.ingest import Ingested, ingest
from schemas.decode.schema_ids import schema_ids
from schemas.decode.users import TakenUsers, of_users, take_users
from schemas.tables import repeats
from schemas.tables.erased import ErasedUser, Mask
from schemas.tables.external import Said
from schemas.tables.interaction import empty
from schemas.tables.profile import PROFILE
from schemas.tables.repeats import Window
from streams.kafka.mappings import mappings_of
from streams.kafka.remote_registry import SchemaAwaited, source_for
from streams.kafka.topics import Topics
from streams.settings import Settings
from streams.state import compaction_plan
from streams.state.store import Put

__all__ = ["DecodedPart", "FetchParts", "Intake", "LaidOutPart", "limits_of"]

_USERS_PER_STEP_BITS = 24
_LEAST_RECORD_BYTES = 128
_STEP_EVENTS_BYTES = 16_000_000
#: Room for key, value and a user's id, beside headers, in a record of less than 990,000 bytes.
_RECORD_BYTES = 980_000


@dataclass(frozen=True, slots=True)
class DecodedPart:
    """One bounded part of a step: the decoded contents of its batches, and the cursor after them.

    `last` marks the last part of one fetch.
    """

    ingested: Ingested
    users: TakenUsers
    cursor: Mapping[str, int]
    last: bool


@dataclass(frozen=True, slots=True)
class LaidOutPart:
    """A decoded part with its entries: `parts` become deltas, `puts` are finished segments.

    `sources` gives the number of rows of each source. The rows have passed the mask of
    `mask_version`; `returned` are erased users who come back with this part.
    """

    decoded: DecodedPart
    parts: list[DeltaEntry]
    puts: list[Put]
    sources: Mapping[str, int]
    direct_rows: int = 1
    mask_version: int = 0
    returned: Sequence[ErasedUser] = ()


def limits_of(settings: Settings) -> RecordLimits:
    """The largest sizes of fields and records."""
    longest = settings.max_field_bytes
    # what is handed on to another shard is keyed by its user, besides all that it has
    return RecordLimits(longest, min(DEFAULT_LIMITS.max_record_bytes, _RECORD_BYTES - longest))


class Intake:
    """Decodes for one shard, and remembers the event ids and external ids that it has seen.

    If there are at least `direct_rows` rows, they become segments directly: as deltas they would be
    written, kept and deleted, only to be flushed soon after.
    """

    def __init__(self, context: ShardContext) -> None:
        self._context = context
        inputs = Topics(context.settings.prefix).inputs
        self._inputs = replace(inputs, mappings=mappings_of(context.settings))
        self._schemas = source_for(context.settings)
        self._limits = limits_of(context.settings)
        self._window = Window(context.settings.repeat_window)
        self._said = Said()
        #: Above all those given before: a step holds far fewer users than the shift leaves.
        self._user_sequence = 0

    def recall(self) -> None:
        """Restores the memory of event ids from the hot table. Call it in a thread."""
        table, state_store = self._context.store.table, self._context.store.state_store
        held = (state_store.get(key) for key in sorted(table.window))
        pieces = (repeats.unpack(value) for value in held if value is not None)
        self._window = Window.of(self._window.limit, pieces)
        # what it has passed on may never have been committed
        self._said = Said()
        self._user_sequence = table.next_sequence << _USERS_PER_STEP_BITS

    def parts(self, batches: Sequence[SealedBatch]) -> "FetchParts":
        """The batches of one fetch, to be decoded part by part."""
        settings = self._context.settings
        return FetchParts(
            batches, min(settings.step_bytes, _STEP_EVENTS_BYTES), settings.max_batch_bytes
        )

    def decode_next(self, fetch: "FetchParts") -> DecodedPart:
        """Open and decode the next part. Call it in a thread. Raises the errors of
        schemas.decode.ingest; after `SchemaAwaited` nothing has been remembered, and the same part
        is decoded next.
        """
        batches = fetch.opened()
        try:
            return self.decode(batches, last=not fetch.left)
        except SchemaAwaited:
            fetch.give_back(batches)
            raise

    def decode(self, batches: Sequence[RecordBatch], last: bool) -> DecodedPart:
        """Decode these batches. Raises the errors of schemas.decode.ingest."""
        context = self._context
        partitions = context.settings.partitions
        users = take_users(
            [batch for batch in batches if of_users(batch, self._inputs)],
            context.partition,
            partitions,
            self._user_sequence,
            self._inputs,
            self._limits,
            self._schemas,
        )
        self._user_sequence += users.rows.height
        ingested = ingest(
            [batch for batch in batches if not of_users(batch, self._inputs)],
            context.partition,
            partitions,
            self._inputs,
            self._limits,
            self._schemas,
            self._window,
            self._said if context.settings.external_ids else None,
        )
        cursor: dict[str, int] = {}
        for batch in batches:
            cursor[batch.topic] = max(cursor.get(batch.topic, 0), batch.next_offset)
        return DecodedPart(ingested, users, cursor, last)

    def lay_out(self, decoded: DecodedPart, direct_rows: int) -> LaidOutPart:
        """The entries of a decoded part, without rows of erased users."""
        context = self._context
        mask = context.store.table.mask
        version, returned = mask.version, _returned(mask, decoded.users)
        taken, users = decoded.ingested, decoded.users
        if len(mask):
            # a record of the users topic brings its user back for the events beside it
            mask = mask.changed(returned) if returned else mask
            taken = replace(
                taken,
                interactions=mask.rows(taken.interactions),
                counts=mask.new_counts(taken.counts),
                externals=mask.externals(taken.externals),
            )
            users = replace(users, rows=mask.roster(users.rows))
        rows = taken.interactions
        counted = rows["source"].value_counts()
        sources = dict(zip(counted["source"].to_list(), counted["count"].to_list(), strict=True))
        sources.pop(PROFILE, None)
        puts: list[Put] = []
        if rows.height >= max(1, direct_rows):
            puts = compaction_plan.lay(rows, context.new_id, context.limits)
            rows = empty()
        entries = parts(taken, rows, users, context.settings.segment_bytes)
        return LaidOutPart(decoded, entries, puts, sources, direct_rows, version, returned)


def _returned(mask: Mask, users: TakenUsers) -> list[ErasedUser]:
    if not len(mask) or not users.rows.height:
        return []
    return mask.returned(users.rows.with_columns(time=pl.Series(users.times, dtype=pl.Int64)))


class FetchParts:
    """The batches of one fetch, divided into parts of about equal size that fit into a step.

    Only the part that is being decoded is opened, and one decoder serves all shards. So the memory
    for opened batches is needed once in a worker, however many batches come.
    """

    def __init__(self, batches: Sequence[SealedBatch], step_bytes: int, batch_bytes: int) -> None:
        """A part takes at most `step_bytes`, or is one batch of at most `batch_bytes`."""
        self._sealed = deque(batches)
        self._held: RecordBatch | None = None
        self._given_back: list[RecordBatch] = []
        self._batch_bytes = batch_bytes
        total = sum(_weight(len(batch.wire), batch.count) for batch in batches)
        fewest = max(1, -(-total // step_bytes))
        even = -(-total // fewest) + step_bytes // 16
        self._part_bytes = min(step_bytes, even) if fewest > 1 else step_bytes

    @property
    def left(self) -> bool:
        """Whether there is another part."""
        return bool(self._sealed or self._given_back) or self._held is not None

    def opened(self) -> list[RecordBatch]:
        """The batches of the next part."""
        if self._given_back:
            part, self._given_back = self._given_back, []
            return part
        part = []
        size = 0
        while (batch := self._next()) is not None:
            weight = _weight(len(batch.payload), batch.count)
            if part and size + weight > self._part_bytes:
                self._held = batch
                break
            part.append(batch)
            size += weight
        return part

    def give_back(self, part: list[RecordBatch]) -> None:
        """Take back a part that could not be decoded yet."""
        self._given_back = part

    def schema_ids(self) -> set[int]:
        """Schema ids of the records in the part that was given back."""
        return schema_ids(self._given_back)

    def _next(self) -> RecordBatch | None:
        if self._held is not None:
            held, self._held = self._held, None
            return held
        return self._sealed.popleft().opened(self._batch_bytes) if self._sealed else None


def _weight(size: int, count: int) -> int:
    """Bytes of a batch, with a minimum for each record: every tiny record may become a larger
    reject.
    """
    return max(size, count * _LEAST_RECORD_BYTES)
