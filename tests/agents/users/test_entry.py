"""Entries of a profile, compared with the CSV of the same rows and with examples."""

import csv
import io
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.users.entry import entries
from agents.users.names import Names
from agents.users.signals import signals
from agents.users.user_csv import header, lines
from agents.views.catalog_view import CatalogView
from agents.views.state_view import StateView
from schemas.records.times import iso
from schemas.tables.fold import fold
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import CLEARED, PROFILE
from schemas.tables.roster import roster_rows

KINDS = (
    "received", "opened", "machine_opened", "clicked", "bot_clicked", "entered", "control",
    "exited", "converted",
)  # fmt: skip


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS))
    first = draw(st.integers(0, 20))
    on = kind in ("received", "opened", "machine_opened", "clicked", "bot_clicked")
    return {
        "source": draw(st.sampled_from(["campaign:a", "canvas:a"])),
        "user": draw(st.sampled_from(["u1", "u2"])),
        "kind": kind,
        "channel": draw(st.sampled_from(["EMAIL", "PUSH", "IN_APP"])) if on else None,
        "step": draw(st.sampled_from([None, "s1", "s2"])),
        "variation": draw(st.sampled_from([None, "v1", "v2"])),
        "detail": "0" if kind == "converted" else None,
        "first": first,
        "last": first + draw(st.integers(0, 20)),
    }


@given(st.lists(rows(), max_size=30))
def test_profile_and_csv_say_the_same(made: list[dict[str, Any]]) -> None:
    folded = fold(pl.DataFrame(made, schema=SCHEMA))
    names = Names(StateView(), CatalogView())
    for source in ("campaign:a", "canvas:a"):
        of_source = folded.filter(pl.col("source") == source)
        found, _ = lines(of_source, roster_rows([], 0), source, names)
        text = (header() + found).decode()
        told = {row["Appboy ID"]: row for row in csv.DictReader(io.StringIO(text))}
        seen = set()
        for user in ("u1", "u2"):
            for entry in entries(of_source.filter(pl.col("user") == user)):
                if not entry.receiver:
                    continue
                seen.add(user)
                row = told[user]
                assert row["variation_api_id"] == (entry.variation or "")
                assert row["in_control"] == str(entry.in_control).lower()
                assert row["emberline_converted"] == str(entry.converted).lower()
                assert row["emberline_channels"] == " ".join(sorted(entry.channels))
                assert row["emberline_steps_received"] == " ".join(sorted(entry.steps))
                for kind in ("received", "opened", "clicked", "entered", "exited"):
                    assert row[f"emberline_last_{kind}"] == (iso(entry.last(kind)) or "")
        assert told.keys() == seen


@pytest.mark.parametrize(("cleared_at", "holds"), [(None, True), (4, True), (5, False), (6, False)])
def test_a_fact_holds_while_it_was_set_later_than_cleared(
    cleared_at: int | None, holds: bool
) -> None:
    told = [("hard_bounce", "x", False, 5), ("feature_flag", "f", False, 5)]
    if cleared_at is not None:
        told += [("hard_bounce", "x", True, cleared_at), ("feature_flag", "f", True, cleared_at)]
    found = signals(_profile(told))
    assert (found.since("hard_bounce") == 5) is holds
    assert ("f" in found.facts.get("feature_flag", {})) is holds
    assert found.since("spam_report") is None


def test_another_value_of_a_fact_is_not_cleared_with_it() -> None:
    found = signals(_profile([("hard_bounce", "x", False, 5), ("hard_bounce", "y", True, 9)]))
    assert found.since("hard_bounce") == 5


def test_times_are_shown_in_milliseconds() -> None:
    assert iso(None) is None
    assert iso(1_772_355_600_007) == "2026-03-01T09:00:00.007Z"


def _profile(told: list[tuple[str, str, bool, int]]) -> pl.DataFrame:
    made = [
        {"source": PROFILE, "user": "u", "kind": kind, "detail": detail, "first": at, "last": at}
        | {"variation": CLEARED if cleared else None}
        for kind, detail, cleared, at in told
    ]
    return fold(pl.DataFrame(made, schema=SCHEMA))
