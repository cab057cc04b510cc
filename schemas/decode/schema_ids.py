"""The schema ids of the records of some batches."""

import contextlib
from collections.abc import Iterable

from schemas.decode.batch_records import RecordBatch, unpack
from schemas.errors import EmberlineError
from schemas.records.codec import framed_id

__all__ = ["schema_ids"]


def schema_ids(batches: Iterable[RecordBatch]) -> set[int]:
    """The ids in the framing of all records. A batch that cannot be split into records adds none,
    because it is rejected as a whole.
    """
    found: set[int | None] = set()
    for batch in batches:
        with contextlib.suppress(EmberlineError):
            found |= {framed_id(record.value) for record in unpack(batch)}
    return {schema_id for schema_id in found if schema_id is not None}
