"""The roster: the users of the topic `users`; the last record of a user counts.

    user, external, aliases (JSON), merged_into, deleted, sequence

`sequence` grows with every record that a shard processes, and the fold keeps the row with the
highest one, so the order in which parts are merged does not matter. `aliases` is a list of names if
none has a label, as every release has written it; otherwise `{"names": [..], "labels": [..]}`, with
an empty label for none.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

__all__ = [
    "ROSTER_SCHEMA",
    "Alias",
    "aliases_of",
    "aliases_text",
    "borne",
    "latest",
    "roster_rows",
]

ROSTER_SCHEMA = pl.Schema(
    {
        "user": pl.String,
        "external": pl.String,
        "aliases": pl.String,
        "merged_into": pl.String,
        "deleted": pl.Boolean,
        "sequence": pl.Int64,
    }
)


class Alias(NamedTuple):
    """Name and label identify a user together; the label is empty if there is none."""

    name: str
    label: str = ""


def aliases_of(text: str | None) -> tuple[Alias, ...]:
    """The aliases in a row."""
    found = json.loads(text) if text else []
    if isinstance(found, dict):
        return tuple(map(Alias, found["names"], found["labels"]))
    return tuple(map(Alias, found))


def borne(rows: pl.DataFrame) -> pl.DataFrame:
    """`row` and `name` of every external id and every alias, with any label.

    `rows` are in `ROSTER_SCHEMA` with the additional column `row`.
    """
    with_aliases = rows.filter(pl.col("aliases").is_not_null())
    labelled = pl.col("aliases").str.starts_with("{")
    listed = pl.col("aliases").str.json_decode(_NAMES)
    paired = pl.col("aliases").str.json_decode(_PAIRED).struct.field("names")
    said = [
        rows.select("row", name="external"),
        with_aliases.filter(~labelled).select("row", name=listed).explode("name"),
        with_aliases.filter(labelled).select("row", name=paired).explode("name"),
    ]
    return pl.concat(said).drop_nulls("name")


_NAMES = pl.List(pl.String)
_PAIRED = pl.Struct({"names": _NAMES, "labels": _NAMES})


def roster_rows(
    users: Iterable[tuple[str, Mapping[str, Any] | None]], sequence: int
) -> pl.DataFrame:
    """Rows for user records `(user id, record or None for a deletion)`, numbered in order."""
    rows = [
        {
            "user": user,
            "external": None if record is None else record.get("external_user_id"),
            "aliases": None if record is None else aliases_text(record),
            "merged_into": None if record is None else record.get("merged_into"),
            "deleted": record is None,
            "sequence": sequence + number,
        }
        for number, (user, record) in enumerate(users)
    ]
    return pl.DataFrame(rows, schema=ROSTER_SCHEMA)


def latest(frame: pl.DataFrame) -> pl.DataFrame:
    """The last row of each user, sorted by user."""
    return (
        frame.sort("sequence")
        .group_by("user")
        .agg(pl.all().last())
        .select(ROSTER_SCHEMA.names())
        .sort("user")
    )


def aliases_text(record: Mapping[str, Any]) -> str | None:
    """The aliases of a user's record, in the form of a row."""
    given = [Alias(name) for name in record.get("aliases") or ()]
    given += [
        Alias(each["alias_name"], each["alias_label"]) for each in record.get("user_aliases") or ()
    ]
    found = list(dict.fromkeys(given))
    if not found:
        return None
    names, labels = [alias.name for alias in found], [alias.label for alias in found]
    stored = {"names": names, "labels": labels} if any(labels) else names
    return json.dumps(stored, ensure_ascii=False)
