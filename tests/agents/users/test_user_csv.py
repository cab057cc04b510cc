"""User Data as CSV, from rows and roster."""

import csv
import io
import json
from typing import Any

import polars as pl
import pytest

from agents.users.names import Names
from agents.users.user_csv import BRAZE_COLUMNS, COLUMNS, header, lines
from agents.views.catalog_view import CatalogView
from agents.views.state_view import StateView
from schemas.tables.interaction import SCHEMA
from schemas.tables.roster import roster_rows

NAMES = Names(StateView(), CatalogView())


def frame(source: str, *rows: dict[str, Any]) -> pl.DataFrame:
    made = [{"source": source, "first": 1_000, "last": 2_000, **row} for row in rows]
    return pl.DataFrame(made, schema=SCHEMA)


def read(told: tuple[bytes, int]) -> list[dict[str, str]]:
    data, count = told
    found = list(csv.DictReader(io.StringIO((header() + data).decode())))
    assert len(found) == count, "so many are told in the access log"
    return [{name: value for name, value in row.items() if value} for row in found]


def test_the_columns_of_braze_come_first_and_ours_are_named() -> None:
    assert header().decode().strip().split(",") == list(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    ours = COLUMNS[len(BRAZE_COLUMNS) :]
    assert all(name.startswith("emberline_") for name in ours)
    assert not any(name.startswith("emberline_") for name in BRAZE_COLUMNS)
    assert {"created_at", "created_from"} < set(BRAZE_COLUMNS)


def test_a_user_of_whom_nothing_but_the_id_is_known() -> None:
    rows = frame("campaign:a", {"user": "u,1", "kind": "received", "channel": "EMAIL"})
    assert read(lines(rows, roster_rows([], 0), "campaign:a", NAMES)) == [
        {
            "Appboy ID": "u,1",
            "in_control": "false",
            "emberline_source": "campaign:a",
            "emberline_first_received": "1970-01-01T00:00:01.000Z",
            "emberline_last_received": "1970-01-01T00:00:02.000Z",
            "emberline_channels": "EMAIL",
            "emberline_converted": "false",
        }
    ]


def test_only_receivers_have_a_line_and_deleted_users_have_none() -> None:
    rows = frame(
        "campaign:a",
        {"user": "u1", "kind": "received"},
        {"user": "u2", "kind": "received"},
        {"user": "u3", "kind": "entered", "variation": "v"},
        {"user": "u4", "kind": "control", "variation": "v"},
        {"user": "u5", "kind": "opened", "channel": "PUSH", "variation": "v"},
        {"user": "u6", "kind": "converted", "detail": "0"},
        {"user": "u7", "kind": "exited"},
    )
    roster = roster_rows([("u1", None), ("u2", None)], 0)
    (line,) = read(lines(rows, roster, "campaign:a", NAMES))
    assert (line["Appboy ID"], line["variation_api_id"], line["variation_name"]) == ("u4", "v", "v")
    canvas = rows.with_columns(source=pl.lit("canvas:a"))
    found = read(lines(canvas, roster, "canvas:a", NAMES))
    assert [row["Appboy ID"] for row in found] == ["u3", "u4"], "who enters a Canvas receives it"


def test_the_variation_is_the_latest_and_a_conversion_counts_for_the_latest_message() -> None:
    rows = frame(
        "campaign:a",
        {"user": "u", "kind": "received", "variation": "v1", "channel": "PUSH", "last": 10_000},
        {"user": "u", "kind": "received", "variation": "v2", "channel": "EMAIL", "last": 9_000},
        {"user": "u", "kind": "converted", "variation": "v3", "detail": "0", "last": 9_500},
    )
    (line,) = read(lines(rows, roster_rows([], 0), "campaign:a", NAMES))
    assert (line["variation_api_id"], line["emberline_converted"]) == ("v1", "false")
    assert line["emberline_channels"] == "EMAIL PUSH"
    canvas = rows.with_columns(source=pl.lit("canvas:a"))
    (line,) = read(lines(canvas, roster_rows([], 0), "canvas:a", NAMES))
    assert line["emberline_converted"] == "true"


def test_no_rows_are_no_lines() -> None:
    assert lines(frame("campaign:a"), roster_rows([], 0), "campaign:a", NAMES) == (b"", 0)


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula_and_exactly_what_it_is_for_programs(text: str) -> None:
    row = {"user": text, "kind": "received", "variation": text, "step": text}
    told = [(text, {"external_user_id": text, "aliases": [text]})]
    source = f"canvas:{text}"
    for safe, expected in ((True, f"'{text}"), (False, text)):
        found, _ = lines(frame(source, row), roster_rows(told, 0), source, NAMES, safe=safe)
        (line,) = csv.DictReader(io.StringIO((header() + found).decode(), newline=""))
        for column in ("Appboy ID", "user_id", "variation_api_id", "variation_name"):
            assert line[column] == expected, column
        assert line["emberline_steps_received"] == expected
        assert json.loads(line["user_aliases"]) == [{"alias_name": text, "alias_label": ""}]
        assert line["emberline_source"] == source


def test_what_is_no_formula_is_left_as_it_is() -> None:
    row = {"user": "a=b", "kind": "received", "variation": "'=1", "step": "1-2"}
    told = lines(frame("canvas:a", row), roster_rows([], 0), "canvas:a", NAMES, safe=True)
    (line,) = read(told)
    assert (line["Appboy ID"], line["variation_api_id"]) == ("a=b", "'=1")
    assert line["emberline_first_received"] == "1970-01-01T00:00:01.000Z"
