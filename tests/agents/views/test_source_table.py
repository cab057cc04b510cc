"""The sources as columns: filters, orders, pages, and what changes between two pages."""

from dataclasses import replace
from typing import Any
from unicodedata import normalize

import polars as pl
import pytest

from agents.cli.status import StatusFilter
from agents.shard.source_sizes import OUTLINE
from agents.views.source_table import (
    ORDERS,
    After,
    ListFilter,
    SourceOrder,
    SourcePage,
    SourceTable,
)
from schemas.records.lifecycle import SourceState, State
from tests.rigs.dummies import States

NAMES = ("Éclair", "autumn", "Autumn", "", "zebra", "Spring", "spring", "ゆき")
STATES = tuple(State)


def record(number: int) -> SourceState:
    due = None if number % 3 == 0 else number % 4 * 100
    return SourceState(
        f"{'campaign' if number % 2 else 'canvas'}:{number:02}",
        STATES[number % len(STATES)],
        1,
        name=NAMES[number % len(NAMES)],
        tags=("even",) if number % 2 == 0 else ("odd", "third")[: 1 + (number % 3 == 0)],
        due_at=due,
    )


RECORDS = [record(number) for number in range(40)]
LAST = {one.source: None if n % 7 == 0 else n % 5 for n, one in enumerate(RECORDS)}
SIZES = pl.DataFrame(
    [
        {"source": one.source, "rows": n % 6, "bytes": n, "archived_rows": 3 - n % 3,
         "archived_bytes": n % 4, "last_day": LAST[one.source]}
        for n, one in enumerate(RECORDS) if n % 8
    ],
    schema=OUTLINE,
)  # fmt: skip
BY_SOURCE = {row["source"]: row for row in SIZES.iter_rows(named=True)}


def value(one: SourceState, by: str) -> int | str | None:
    size: dict[str, Any] = BY_SOURCE.get(one.source, {})
    found: dict[str, int | str | None] = {
        "name": (one.name or one.source).casefold(),
        "state": STATES.index(one.state),
        "due_at": one.due_at,
        "source": None,
        "interactions": max(size["rows"], size["archived_rows"]) if size else None,
        "last_event_on": size.get("last_day"),
        "bytes": size.get("bytes"),
        "archived_bytes": size.get("archived_bytes"),
    }
    return found[by]


def expected(records: list[SourceState], order: SourceOrder) -> list[str]:
    """By plain Python: those with a value, then those without, equal ones by their keys."""
    by_key = sorted(records, key=lambda one: one.source)
    having = [one for one in by_key if value(one, order.by) is not None]
    lacking = [one.source for one in by_key if value(one, order.by) is None]
    having.sort(key=lambda one: value(one, order.by) or 0, reverse=order.descending)
    if order.by == "name":
        having.sort(key=lambda one: str(value(one, "name")), reverse=order.descending)
    return [one.source for one in having] + lacking


async def all_pages(table: SourceTable, wanted: ListFilter, order: SourceOrder) -> list[str]:
    found: list[str] = []
    after: After | None = None
    while True:
        page = await table.page(wanted, order, after, 7, SIZES)
        found += page.keys
        after = page.next
        if after is None:
            assert page.total == len(found)
            return found


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("by", ORDERS)
async def test_pages_together_are_the_list_in_its_order(by: str, descending: bool) -> None:
    order = SourceOrder(by, descending)
    table = SourceTable(States(*RECORDS))
    assert await all_pages(table, ListFilter(), order) == expected(RECORDS, order)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (ListFilter(name="SPRING"), lambda one: "spring" in one.name.casefold()),
        (ListFilter(name="canvas:1"), lambda one: "canvas:1" in one.source),
        (ListFilter(kinds=frozenset({"canvas"})), lambda one: one.source < "canvas;"
         and one.source.startswith("canvas")),
        (ListFilter(states=frozenset({State.EXPIRED, State.HELD})),
         lambda one: one.state in (State.EXPIRED, State.HELD)),
        (ListFilter(tags=frozenset({"odd", "third"})), lambda one: "third" in one.tags),
        (ListFilter(tags=frozenset({"none"})), lambda one: False),
        (ListFilter(keys=frozenset({"canvas:00", "x"})), lambda one: one.source == "canvas:00"),
    ],
)  # fmt: skip
async def test_filters_select_what_a_plain_loop_selects(wanted: ListFilter, takes: object) -> None:
    assert callable(takes)
    table = SourceTable(States(*RECORDS))
    found = sorted(one.source for one in RECORDS if takes(one))
    assert await table.keys(wanted) == found
    assert await all_pages(table, wanted, SourceOrder()) == found


async def test_a_name_is_found_in_any_form_of_unicode() -> None:
    """Programs write the same letters composed (NFC) or decomposed (NFD)."""
    names = (normalize("NFD", "ガーデン Été"), normalize("NFC", "ガーデン Été"))
    records = [
        SourceState(f"campaign:{number}", State.ACTIVE, 1, name=name)
        for number, name in enumerate(names)
    ]
    table = SourceTable(States(*records))
    for text in ("ガーデ", "été"):
        for typed in (normalize("NFC", text), normalize("NFD", text)):
            assert await table.keys(ListFilter(name=typed)) == ["campaign:0", "campaign:1"]
            assert all(StatusFilter(name=typed).takes(one) for one in records)


async def test_what_changes_is_seen_by_the_next_page() -> None:
    states = States(*RECORDS)
    table = SourceTable(states)
    order = SourceOrder("due_at")
    first = await table.page(ListFilter(), order, None, 5)
    changed = replace(states.records[first.keys[0]], due_at=10_000, tags=("new",), name="Renamed")
    new = SourceState("campaign:new", State.ACTIVE, 1, due_at=10_001, name="New")
    states.put(changed, new)
    rest: SourcePage = await table.page(ListFilter(), order, first.next, 100)
    assert rest.total == len(RECORDS) + 1
    # nothing is left out, and only what has moved behind the page comes again
    assert set(first.keys) | set(rest.keys) == set(states.records)
    assert set(first.keys) & set(rest.keys) == {changed.source}
    assert await table.keys(ListFilter(tags=frozenset({"new"}))) == [changed.source]
    assert await table.keys(ListFilter(name="renamed")) == [changed.source]
    assert await table.keys(ListFilter(name="new")) == ["campaign:new"]
