"""Decodes the users topic: single records to roster rows, misplaced records to forwards.

These records are few compared with events, so they are read one by one: see
schemas.decode.user_record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.decode.batch import KafkaRecord, RecordBatch, chunks, unpack
from schemas.decode.batch_records import CorruptRecords
from schemas.decode.blocks import peek
from schemas.decode.check import DEFAULT_LIMITS, RecordLimits
from schemas.decode.forward import Forward, restored, topic_of
from schemas.decode.inputs import Inputs
from schemas.decode.reject import Reject, Rejects
from schemas.decode.user_record import read_user_record
from schemas.records.codec import Undecodable
from schemas.records.registry import FILES, SchemaSource
from schemas.tables.placement import partition_of
from schemas.tables.roster import ROSTER_SCHEMA, roster_rows

__all__ = ["TakenUsers", "of_users", "take_users"]


@dataclass(frozen=True, slots=True)
class TakenUsers:
    """`rows` are in `roster.ROSTER_SCHEMA`, numbered in their order of arrival; `times` are those
    of their records in Kafka (UTC milliseconds).
    """

    rows: pl.DataFrame
    forwards: list[Forward]
    rejects: list[Reject]
    times: Sequence[int] = ()


def of_users(batch: RecordBatch, inputs: Inputs) -> bool:
    """Whether a batch is from the users topic, or was forwarded from it.

    All records of a forwarded batch are from one topic, so the first record decides.
    """
    if batch.topic != inputs.repartition:
        return batch.topic == inputs.users
    shape = peek(batch, forwarded=True)
    if shape is not None and shape.origin is not None:
        return shape.origin == inputs.users.encode()
    try:
        first = next(iter(unpack(batch)), None)
    except CorruptRecords:
        return False  # it is put aside with the events
    return first is not None and topic_of(first) == inputs.users


def take_users(
    batches: Sequence[RecordBatch],
    partition: int,
    partitions: int,
    sequence: int,
    inputs: Inputs,
    limits: RecordLimits = DEFAULT_LIMITS,
    source: SchemaSource = FILES,
) -> TakenUsers:
    """Roster rows of `batches`, for the shard `partition`; numbered from `sequence`."""
    mapped = inputs.mappings.get("user", ())
    found: list[tuple[str, Mapping[str, Any] | None, RecordBatch, KafkaRecord]] = []
    rejects = Rejects(limits, inputs.repartition)
    for batch in batches:
        forwarded = batch.topic == inputs.repartition
        try:
            for written in (record for chunk in chunks(batch) for record in chunk):
                record = restored(written) if forwarded else written
                try:
                    user, fields = read_user_record(record, limits, source, mapped)
                except Undecodable as error:
                    rejects.add(batch, record, error.code, error.detail)
                else:
                    found.append((user, fields, batch, record))
        except CorruptRecords as error:
            rejects.add_batch(batch, error.code, error.detail)
    if not found:  # most steps have events alone
        return TakenUsers(ROSTER_SCHEMA.to_frame(), [], rejects.found)
    targets = partition_of(pl.Series([user for user, *_ in found], dtype=pl.String), partitions)
    ours: list[tuple[str, Mapping[str, Any] | None]] = []
    times: list[int] = []
    misplaced: dict[tuple[str, int, bool], Forward] = {}
    for target, (user, fields, batch, record) in zip(targets.to_list(), found, strict=True):
        if target == partition or batch.topic == inputs.repartition:
            ours.append((user, fields))
            times.append(record.timestamp)
        else:
            group = (batch.topic, target, record.key is None)
            if group not in misplaced:
                misplaced[group] = Forward(batch.topic, batch.partition, target)
            misplaced[group].add(record, user)
    return TakenUsers(roster_rows(ours, sequence), list(misplaced.values()), rejects.found, times)
