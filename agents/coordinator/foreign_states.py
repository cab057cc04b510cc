"""Records of `lifecycle.state` that somebody else than the coordinator has written."""

from collections.abc import Sequence

from agents.coordinator.rules.bounds import HUGE
from agents.coordinator.rules.inputs import StateForeign
from schemas.decode.batch_records import RecordBatch
from schemas.records import codec
from schemas.records.lifecycle import SourceState
from schemas.records.undecodable import Undecodable
from streams.kafka.foreign_records import names_source, pass_over, producer_of, records_of

__all__ = ["foreign_states"]


def foreign_states(
    batches: Sequence[RecordBatch], topic: str, own: int | None
) -> list[StateForeign]:
    """The records of `topic`, which is `lifecycle.state`, of a producer other than `own`."""
    found = []
    for batch in batches:
        if batch.topic != topic or producer_of(batch) in (None, own):
            continue
        for record in records_of(batch):
            if names_source(record.key):
                source = (record.key or b"").decode()
                found.append(StateForeign(source, _claimed(record.value)))
            why = "the coordinator has not written it"
            pass_over(batch.topic, batch.partition, record.offset, why)
    return found


def _claimed(value: bytes | None) -> int:
    """The version in a state record as readers accept it; -1 if they do not accept the record."""
    try:
        found = SourceState.from_record(codec.decode(value or b"", "state")).version
    except Undecodable:
        return -1
    return found if 0 <= found < HUGE else -1
