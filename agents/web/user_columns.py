"""The columns of an audience that a client picks, as NDJSON, CSV or Parquet."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from agents.http.problems import bad_request
from agents.users.user_csv import harmless
from schemas.tables.roster import ROSTER_SCHEMA, aliases_of
from schemas.words.nearest import hint

__all__ = ["COLUMNS", "DEFAULT", "NOBODY", "columns_of", "csv", "csv_header", "frame", "ndjson"]

_ALIAS = pl.Struct({"alias_name": pl.String, "alias_label": pl.String})
COLUMNS: Mapping[str, pl.DataType] = {
    "user_id": pl.String(),
    "external_id": pl.String(),
    "aliases": pl.List(pl.String),
    "user_aliases": pl.List(_ALIAS),
}
"""`aliases` has the names, `user_aliases` names and labels."""
DEFAULT = ("user_id",)
NOBODY = pl.Series("user", [], dtype=pl.String)


def columns_of(given: object) -> tuple[str, ...] | None:
    """The columns of a body; None if it has none. Raises Problem (400)."""
    if given is None:
        return None
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise bad_request("columns is a list of names, one at least")
    for name in given:
        if name not in COLUMNS:
            raise bad_request(f"columns: there is no {name[:80]!r}. {hint(name[:80], COLUMNS)}")
    if len(set(given)) < len(given):
        raise bad_request("columns names one of them twice")
    return tuple(given)


def frame(users: pl.Series, roster: pl.DataFrame | None, columns: Sequence[str]) -> pl.DataFrame:
    """A row for each user, in their order. `roster` has their last roster rows; it may be absent if
    only `user_id` is asked for.
    """
    known = (pl.DataFrame(schema=ROSTER_SCHEMA) if roster is None else roster).select(
        "user", pl.col("external").alias("external_id"), pl.col("aliases").alias("said")
    )
    found = (
        users.rename("user").to_frame().join(known, on="user", how="left", maintain_order="left")
    )
    made: list[pl.Series | pl.Expr] = [pl.col("user").alias("user_id")]
    if {"aliases", "user_aliases"} & set(columns):
        said = [aliases_of(text) for text in found["said"]]
        names = [[one.name for one in each] for each in said]
        pairs = [
            [{"alias_name": one.name, "alias_label": one.label} for one in each] for each in said
        ]
        made.append(pl.Series("aliases", names, dtype=COLUMNS["aliases"]))
        made.append(pl.Series("user_aliases", pairs, dtype=COLUMNS["user_aliases"]))
    return found.with_columns(made).select(columns)


def ndjson(rows: pl.DataFrame) -> bytes:
    """One object for each row, one on each line."""
    buffer = io.BytesIO()
    rows.write_ndjson(buffer)
    return buffer.getvalue()


def csv_header(columns: Sequence[str]) -> bytes:
    """The first line of CSV."""
    return (",".join(columns) + "\n").encode()


def csv(rows: pl.DataFrame, *, safe: bool) -> bytes:
    """One line for each row; lists are JSON, empty ones are empty cells. With `safe`, a cell that a
    spreadsheet would read as a formula begins with an apostrophe.
    """
    cells = rows.with_columns(
        pl.Series(name, [_json(each) for each in rows[name].to_list()], dtype=pl.String)
        for name in rows.columns
        if isinstance(rows.schema[name], pl.List)
    )
    if safe:
        cells = cells.with_columns(harmless(pl.col(name)).alias(name) for name in cells.columns)
    return cells.write_csv(include_header=False).encode()


def _json(values: Sequence[Any]) -> str | None:
    return json.dumps(values, ensure_ascii=False) if values else None
