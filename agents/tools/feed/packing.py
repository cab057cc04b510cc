"""Makes Kafka records from a frame of mapped records: keys and Avro values."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from agents.tools.encoder import encoder
from agents.tools.feed.apply import ROW
from agents.tools.publish import Chunk
from agents.tools.records import Ids, kind_of_record
from schemas.records import codec
from schemas.records.lifecycle import SOURCE_KINDS
from streams.kafka.topic_specs import EVENTS

__all__ = ["chunk_of", "sources_of"]


def chunk_of(kind: str, rows: pl.DataFrame, ids: Ids) -> Chunk:
    """The records of `rows`, whose columns are fields of `kind`, and `row`."""
    own = kind_of_record(kind)
    fields = rows.drop(ROW)
    keys = [user.encode() for user in fields["user_id"].to_list()]
    if kind not in EVENTS:
        values = [codec.encode(kind, one, ids(own)) for one in fields.to_dicts()]
        return Chunk(own.topic, keys, values)
    columns: Mapping[str, Any] = {
        one.name: one.to_list() for one in fields.get_columns() if one.null_count() < rows.height
    }
    return Chunk(own.topic, keys, encoder(kind, ids(own)).encode(columns) if keys else [])


def sources_of(rows: pl.DataFrame) -> set[str]:
    """The campaigns and Canvases of mapped events."""
    found: set[str] = set()
    for kind in SOURCE_KINDS:
        name = f"{kind}_id"
        if name in rows.columns:
            values = rows[name].drop_nulls().unique().to_list()
            found |= {one if one.startswith(f"{kind}:") else f"{kind}:{one}" for one in values}
    return found
