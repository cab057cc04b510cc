"""The contents of the hot table after entries were applied."""

from dataclasses import replace
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from schemas.tables import delta
from schemas.tables.counts import COUNT_SCHEMA, add_up, count_feed_views
from schemas.tables.erased import ErasedUser, ErasureKey, Mask
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.state.changelog import load
from streams.state.erasures import ErasureMarks, puts_of
from streams.state.hot_table import HotTable, ManifestEntry
from streams.state.state_store import StateStore, shared_cache


def test_hashes_of_a_former_version_are_no_hashes_but_keys_to_delete() -> None:
    table = HotTable()
    table.apply([(b"w/0000000000000001/000", b"whatever it was"), (b"w/2/000", b"")])
    assert table.former == {b"w/0000000000000001/000", b"w/2/000"}
    assert not table.window
    table.apply([(b"w/2/000", None)])
    assert table.former == {b"w/0000000000000001/000"}


def counts(*numbers: int) -> pl.DataFrame:
    rows = [dict.fromkeys(COUNT_SCHEMA) | {"source": f"s{n % 3}", "count": n} for n in numbers]
    return pl.DataFrame(rows, schema=COUNT_SCHEMA)


def test_deltas_that_are_folded_on_the_way_up_are_flushed_together_or_not_at_all(
    tmp_path: Path,
) -> None:
    # a fold gives one delta the rows of all: the others must not be left to be counted again
    state_store = StateStore(tmp_path / "state", shared_cache(1 << 20))
    numbers = list(range(1, 41))
    state_store.apply(
        [(keys.delta(n, 0, b"e"), delta.encode(counts(n, n + 1))) for n in numbers], 1
    )
    try:
        whole, folded = load(state_store), load(state_store, limit=20_000)
    finally:
        state_store.close()
    everything = add_up(pl.concat(whole.auxiliary[b"e"].values()))
    assert everything["count"].sum() == sum(2 * n + 1 for n in numbers)
    assert len(whole.auxiliary[b"e"]) == len(folded.auxiliary[b"e"]) == len(numbers)
    assert_frame_equal(add_up(pl.concat(folded.auxiliary[b"e"].values())), everything)
    taken = dict(folded.auxiliary[b"e"])
    left = set(taken)
    while taken:
        chosen = auxiliary.oldest(taken, 1)
        rows = sum(whole.auxiliary[b"e"][key].height for key in chosen)
        assert add_up(pl.concat([whole.auxiliary[b"e"][key] for key in chosen])).equals(
            add_up(pl.concat(chosen.values()))
        ), rows
        left -= chosen.keys()
        taken = {key: frame for key, frame in taken.items() if key in left}


def test_every_auxiliary_table_is_loaded_with_its_deltas_and_runs(tmp_path: Path) -> None:
    state_store = StateStore(tmp_path / "state", shared_cache(1 << 20))
    entries: list[tuple[bytes, bytes | None]] = []
    for table in auxiliary.TABLES:
        rows = pl.DataFrame(schema=table.schema)
        entries.append((keys.delta(7, 0, table.delta), delta.encode(rows)))
        entries.append((keys.run(table.run, 0, "a" * 24, 0), auxiliary.encode(rows)))
    state_store.apply(entries, 1)
    applied = HotTable()
    applied.apply(entries)
    try:
        loaded = load(state_store)
    finally:
        state_store.close()
    for table in auxiliary.TABLES:
        assert loaded.auxiliary[table.delta].keys() == {keys.delta(7, 0, table.delta)}
        assert loaded.runs[table.run] == applied.runs[table.run] != {}
    assert loaded.next_sequence == applied.next_sequence == 8


def test_the_weight_of_side_tables_goes_with_their_deltas() -> None:
    table = HotTable()
    for number in range(10):
        key = keys.delta(number, 0, b"e")
        table.apply([(key, b"")], {key: counts(1, 2, 3)})
    assert table.auxiliary_bytes > 10 * 100
    table.apply([(keys.delta(number, 0, b"e"), None) for number in range(10)])
    assert table.auxiliary_bytes == 0


def test_the_sums_of_the_manifest_follow_each_entry() -> None:
    table = HotTable()

    def entry(rows: int) -> bytes:
        return ManifestEntry(1, rows, rows * 10, "c", 1).to_json()

    first, second = keys.manifest_entry("campaign:a", "1"), keys.manifest_entry("campaign:a", "2")
    table.apply([(first, entry(5)), (second, entry(7))])
    assert table.archived_sizes == {"campaign:a": (12, 120, 2)}
    table.apply([(first, entry(6))])
    assert table.archived_sizes == {"campaign:a": (13, 130, 2)}
    table.apply([(second, None), (second, None)])
    assert table.archived_sizes == {"campaign:a": (6, 60, 1)}
    table.apply([(first, None)])
    assert (table.archived_sizes, table.manifest) == ({}, {})


def test_who_has_come_back_keeps_feed_views_when_another_user_is_erased() -> None:
    key = ErasureKey(b"k" * 32)
    (ada,) = Mask(key).erased(key.tokens(["ada"]), 100)
    back = replace(ada, returned_at=200, returned_from=7)
    table = HotTable(erasure_key=key)
    table.apply([ErasureMarks(key.id, 1, hot=1).put(), *puts_of([back])])
    views = count_feed_views(pl.Series(["ada", "bob"]))
    table.apply([(keys.delta(1, 0, b"e"), delta.encode(views))])
    bob = [ErasedUser(token, 300, 2) for token in key.tokens(["bob"])]
    table.apply([ErasureMarks(key.id, 2, hot=1).put(), *puts_of(bob)])
    (left,) = table.auxiliary[b"e"].values()
    assert sorted(left["user"].to_list(), key=str) == [None, "ada"]
