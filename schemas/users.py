"""The users topic: single records to roster rows, misplaced ones to their shard.

They are few beside events, so they are read one by one: see schemas.user_record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.batch import KafkaRecord, RawBatch, unpack
from schemas.codec import Undecodable
from schemas.decode_blocks import peek
from schemas.decode_check import DEFAULT_LIMITS, Limits
from schemas.decode_reject import Reject, reject
from schemas.ingest import ORIGIN, Forward
from schemas.inputs import Inputs
from schemas.placement import partition_of
from schemas.registry import FILES, SchemaSource
from schemas.roster import roster_rows
from schemas.user_record import read_user_record

__all__ = ["TakenUsers", "of_users", "take_users"]


@dataclass(frozen=True, slots=True)
class TakenUsers:
    """`rows` are in `roster.ROSTER_SCHEMA`, numbered in the order in which they came."""

    rows: pl.DataFrame
    forwards: list[Forward]
    rejects: list[Reject]


def of_users(batch: RawBatch, inputs: Inputs) -> bool:
    """Whether a batch is of the users topic, or was forwarded from it.

    Forwarded batches are of one topic each: their first record speaks for them.
    """
    if batch.topic != inputs.repartition:
        return batch.topic == inputs.users
    users = inputs.users.encode()
    shape = peek(batch, same_header=True)
    if shape is not None and shape.origin is not None:
        return shape.origin == users
    return any(dict(record.headers).get(ORIGIN) == users for record in unpack(batch)[:1])


def take_users(
    batches: Sequence[RawBatch],
    partition: int,
    partitions: int,
    sequence: int,
    inputs: Inputs,
    limits: Limits = DEFAULT_LIMITS,
    source: SchemaSource = FILES,
) -> TakenUsers:
    """Roster rows of `batches`, for the shard `partition`; numbered from `sequence`."""
    found: list[tuple[str, Mapping[str, Any] | None, RawBatch, KafkaRecord]] = []
    rejects: list[Reject] = []
    for batch in batches:
        for record in unpack(batch):
            try:
                user, fields = read_user_record(record, limits, source)
            except Undecodable as error:
                rejects.append(reject(batch, record, error.code, error.detail, limits))
            else:
                found.append((user, fields, batch, record))
    targets = partition_of(pl.Series([user for user, *_ in found], dtype=pl.String), partitions)
    ours: list[tuple[str, Mapping[str, Any] | None]] = []
    misplaced: dict[tuple[str, int], Forward] = {}
    for target, (user, fields, batch, record) in zip(targets.to_list(), found, strict=True):
        if target == partition or batch.topic == inputs.repartition:
            ours.append((user, fields))
        else:
            place = (batch.topic, target)
            misplaced.setdefault(place, Forward(*place, [])).records.append(record)
    return TakenUsers(roster_rows(ours, sequence), list(misplaced.values()), rejects)
