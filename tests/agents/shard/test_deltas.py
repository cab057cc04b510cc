"""The entries of a step's delta: they are complete, and each fits into a record."""

import secrets
from dataclasses import replace

import polars as pl

from agents.shard.deltas import HASHES, ROWS, DeltaEntry, parts
from schemas.decode.ingest import Ingested, ingest
from schemas.decode.users import TakenUsers
from schemas.tables import delta, interaction
from schemas.tables.counts import count_feed_views
from schemas.tables.interaction import SCHEMA
from schemas.tables.repeats import hashes, unpack
from schemas.tables.roster import roster_rows
from streams.kafka.step import MAX_BATCH_BYTES
from streams.state import auxiliary_table as auxiliary
from tests.rigs.record_batches import INPUTS

COUNT = 200_000
USERS = pl.Series("user", [secrets.token_hex(12) for _ in range(COUNT)])
NOBODY = TakenUsers(roster_rows([], 0), [], [])


def taken(rows: pl.DataFrame, events: int) -> Ingested:
    users = USERS.head(events)
    return replace(
        ingest([], 0, 1, INPUTS),
        interactions=rows,
        counts=count_feed_views(users),
        hashes=hashes(users),
        events=events,
    )


def entries(found: Ingested, users: TakenUsers, row_bytes: int) -> list[DeltaEntry]:
    return parts(found, found.interactions, users, row_bytes)


def of(letter: bytes, found: list[DeltaEntry]) -> list[DeltaEntry]:
    return [part for part in found if part.letter == letter]


def test_many_small_events_fit() -> None:
    """Feed views: a row of counts and eight bytes of hash for each event, as much as a step has."""
    found = entries(taken(interaction.empty(), COUNT), NOBODY, 900_000)
    assert max(len(part.data) for part in found) < MAX_BATCH_BYTES
    seen = pl.concat([unpack(part.data) for part in of(HASHES, found)])
    assert seen.to_list() == hashes(USERS).to_list()
    counts = [part for part in of(auxiliary.COUNTS.delta, found) if part.frame is not None]
    read = [delta.decode(part.data, auxiliary.COUNTS.schema) for part in counts]
    assert sum(frame["count"].sum() for frame in read) == COUNT
    assert sum(len(part.frame) for part in counts if part.frame is not None) == COUNT


def test_a_whole_roster_at_once_fits() -> None:
    people = [(user, {"external_user_id": secrets.token_hex(16)}) for user in USERS[:50_000]]
    rows = roster_rows(people, 7)
    found = entries(taken(interaction.empty(), 0), TakenUsers(rows, [], []), 900_000)
    assert {part.letter for part in found} == {auxiliary.ROSTER.delta}
    assert len(found) > 1
    assert max(len(part.data) for part in found) < MAX_BATCH_BYTES
    assert pl.concat([delta.decode(part.data, auxiliary.ROSTER.schema) for part in found]).equals(
        rows
    )


def test_rows_keep_to_the_bytes_of_a_segment_and_nothing_makes_nothing() -> None:
    rows = pl.DataFrame(
        {
            "source": ["campaign:a"] * 1000,
            "user": USERS.head(1000),
            "kind": ["received"] * 1000,
            "first": [1] * 1000,
            "last": [2] * 1000,
        }
    ).select(
        (pl.col(name) if name in ("source", "user", "kind", "first", "last") else pl.lit(None))
        .cast(kind)
        .alias(name)
        for name, kind in SCHEMA.items()
    )
    found = entries(taken(rows, 0), NOBODY, 5_000)
    assert {part.letter for part in found} == {ROWS}
    assert max(len(part.data) for part in found) <= 5_000
    frames = [part.frame for part in found if part.frame is not None]
    assert pl.concat(frames).equals(rows)
    assert entries(taken(interaction.empty(), 0), NOBODY, 5_000) == []
