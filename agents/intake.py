"""From fetched batches to what a step writes of them: decoding, then laying out.

Both are work for threads and know no broker. Decoding goes in order, as it learns the ids of
events; what it gives can be laid out beside the decoding of what follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents.deltas import Part, parts
from agents.work.context import Context
from schemas.batch import RawBatch
from schemas.decode_check import Limits
from schemas.ingest import Ingested, ingest
from schemas.interaction import empty
from schemas.profile import PROFILE
from schemas.repeats import Window
from schemas.users import TakenUsers, of_users, take_users
from streams import layout
from streams.remote_registry import source_for
from streams.store import Put, bounded
from streams.topics import Topics

__all__ = ["Decoded", "Intake", "Laid"]

_USERS_PER_STEP_BITS = 24
_LEAST_RECORD_BYTES = 128
_STEP_EVENTS_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Decoded:
    """One bounded part of a step: what is in its batches, and where they end.

    `last` says that it is the last part of what one fetch brought.
    """

    ingested: Ingested
    users: TakenUsers
    cursor: Mapping[str, int]
    last: bool


@dataclass(frozen=True, slots=True)
class Laid:
    """A decoded part with its entries: `parts` become deltas, `puts` are segments already.

    `sources` says how many rows each source has.
    """

    decoded: Decoded
    parts: list[Part]
    puts: list[Put]
    sources: Mapping[str, int]


class Intake:
    """Decodes for one shard, and knows what it has seen.

    Rows of at least `direct_rows` become segments at once: as deltas they would be written,
    kept and deleted only to be flushed soon after.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inputs = Topics(context.settings.prefix).inputs
        self._schemas = source_for(context.settings.schema_registry_url)
        self._limits = Limits(max_field_bytes=context.settings.max_field_bytes)
        self._window = Window(context.settings.repeat_window)
        #: Above all those given before: a step holds far fewer users than the shift leaves.
        self._user_sequence = 0

    def recall(self) -> None:
        """Knows the ids again that the hot table remembers. Work for a thread."""
        table = self._context.store.table
        pieces = [table.window[key] for key in sorted(table.window)]
        self._window = Window.of(self._window.limit, pieces)
        self._user_sequence = table.next_sequence << _USERS_PER_STEP_BITS

    def groups(self, batches: Sequence[RawBatch]) -> list[list[RawBatch]]:
        """Batches cut into parts that fit a step, of about one size."""
        limit = min(self._context.settings.step_bytes, _STEP_EVENTS_BYTES)
        total = sum(map(_weight, batches))
        fewest = max(1, -(-total // limit))
        even = -(-total // fewest) + limit // 16
        return list(bounded(batches, _weight, min(limit, even)))

    def decode(self, batches: Sequence[RawBatch], last: bool) -> Decoded:
        """Raises what schemas.ingest raises."""
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
        )
        cursor: dict[str, int] = {}
        for batch in batches:
            cursor[batch.topic] = max(cursor.get(batch.topic, 0), batch.next_offset)
        return Decoded(ingested, users, cursor, last)

    def lay_out(self, decoded: Decoded, direct_rows: int) -> Laid:
        """The entries of a decoded part."""
        context = self._context
        rows = decoded.ingested.interactions
        counted = rows["source"].value_counts()
        sources = dict(zip(counted["source"].to_list(), counted["count"].to_list(), strict=True))
        sources.pop(PROFILE, None)
        puts: list[Put] = []
        if rows.height >= max(1, direct_rows):
            puts = layout.lay(rows, context.new_id, context.limits)
            rows = empty()
        entries = parts(decoded.ingested, rows, decoded.users, context.settings.segment_bytes)
        return Laid(decoded, entries, puts, sources)


def _weight(batch: RawBatch) -> int:
    """Bytes of a batch; tiny records, each perhaps a reject, weigh more than they have."""
    return max(len(batch.payload), batch.count * _LEAST_RECORD_BYTES)
