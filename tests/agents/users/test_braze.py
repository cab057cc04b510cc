"""The export object of a user, from rows."""

from typing import Any

import polars as pl
import pytest

from agents.users.braze import FIELDS, user_object
from agents.users.entry import entries
from agents.users.names import Names
from agents.views.catalog_view import CatalogView
from agents.views.state_view import StateView
from schemas.records.times import iso
from schemas.tables.interaction import SCHEMA

NAMES = Names(StateView(), CatalogView())


def exported(source: str, *rows: dict[str, Any]) -> dict[str, Any]:
    made = [{"source": source, "user": "u", "first": 1_000, "last": 2_000, **row} for row in rows]
    found = entries(pl.DataFrame(made, schema=SCHEMA))
    return dict(user_object("u", None, found, NAMES, FIELDS))


RECEIVED = {"kind": "received", "channel": "EMAIL"}


def test_conversion_events_have_the_names_of_the_platform() -> None:
    converted = [{"kind": "converted", "detail": detail} for detail in ("0", "1", "3")]
    (entry,) = exported("campaign:a", RECEIVED, *converted)["campaigns_received"]
    assert entry["converted"] is True
    assert entry["multiple_converted"] == {
        "Primary Conversion Event - A": True,
        "Conversion Event - B": True,
        "Conversion Event - D": True,
    }


def test_a_conversion_before_the_latest_message_does_not_count_nor_one_in_the_control_group() -> (
    None
):
    early = {"kind": "converted", "detail": "0", "last": 1_500}
    late = {"kind": "converted", "detail": "1", "last": 2_500}
    (entry,) = exported("campaign:a", RECEIVED, early, late)["campaigns_received"]
    assert entry["multiple_converted"] == {"Conversion Event - B": True}
    for rows in ((RECEIVED, early), (RECEIVED, late, {"kind": "control"}), (RECEIVED,)):
        (entry,) = exported("campaign:a", *rows)["campaigns_received"]
        assert entry["converted"] is False
        assert "multiple_converted" not in entry


def test_the_last_entry_into_a_control_group_is_dated() -> None:
    rows = [{"kind": "entered", "last": 9_000}, {"kind": "control", "last": 7_000}]
    (entry,) = exported("canvas:c", *rows)["canvases_received"]
    assert (entry["in_control"], entry["last_entered_control_at"]) == (True, iso(7_000))
    (entry,) = exported("canvas:c", rows[0])["canvases_received"]
    assert (entry["in_control"], "last_entered_control_at" in entry) == (False, False)


@pytest.mark.parametrize("kind", ["opened", "machine_opened", "clicked", "converted", "exited"])
def test_who_only_opens_clicks_converts_or_leaves_has_received_nothing(kind: str) -> None:
    for source in ("campaign:a", "canvas:c"):
        assert exported(source, {"kind": kind, "detail": "0"}) == {"braze_id": "u"}


def test_the_control_group_is_among_the_receivers_and_so_is_who_enters_a_canvas() -> None:
    for kind in ("received", "control"):
        assert len(exported("campaign:a", {"kind": kind})["campaigns_received"]) == 1
    for kind in ("received", "control", "entered"):
        assert len(exported("canvas:c", {"kind": kind})["canvases_received"]) == 1
    assert exported("campaign:a", {"kind": "entered"}) == {"braze_id": "u"}
