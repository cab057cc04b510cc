"""A local index by user is compared with the segments of its shard, row by row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from agents.verify.kinds import FindingKind as Kind
from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex
from streams.state import keys
from streams.state.state_store import shared_cache
from streams.user_index import block
from streams.user_index.merge import write_blocks
from streams.user_index.runs import Run
from streams.user_index.store import UserStore, block_key
from tests.rigs.upgrade.deployment import EXPIRED
from tests.rigs.verified import Deployment, recorded

SHARD = 0
HOT = "campaign:a"


@dataclass
class Indexed:
    """The recorded deployment with an index of one shard, as its worker would build it."""

    deployment: Deployment
    rows: pl.DataFrame
    covered: set[str]

    @property
    def folder(self) -> Path:
        return self.deployment.settings.data_dir / f"users-{SHARD}"

    def build(self, rows: pl.DataFrame | None = None, incarnation: str | None = None) -> None:
        """Write the index: of these rows, instead of all that it covers."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        store = UserStore(self.folder, shared_cache(1 << 20), incarnation or self._incarnation)
        packed = block.pack(self.rows if rows is None else rows).sort("user", maintain_order=True)
        number = store.new_number()
        run = Run(number, packed.height, tuple(write_blocks(store, number, 0, packed)))
        store.write(add=run, covered=self.covered)
        store.close()

    @property
    def _incarnation(self) -> str:
        value = self.deployment.partition("changelog", SHARD).last(keys.ORIGIN).value
        return str(pl.read_json(value or b"")["incarnation"][0])


@pytest.fixture
def indexed(tmp_path: Path) -> Indexed:
    deployment = recorded(tmp_path)
    kept = deployment.partition("changelog", SHARD)
    frames, covered = [], set()
    for record in kept.records.values():
        if keys.kind(record.key or b"") == b"i" and kept.last(record.key or b"").value:
            index = SegmentIndex.from_json(kept.last(record.key or b"").value or b"")
            if index.id not in covered:
                covered.add(index.id)
                frames.append(decode(kept.last(keys.segment(index.id)).value or b""))
    return Indexed(deployment, pl.concat(frames), covered)


def test_an_index_that_has_all_rows_is_right(indexed: Indexed) -> None:
    indexed.build()
    report = indexed.deployment.verified()
    assert (report.findings, report.unchecked) == ([], [])
    assert report.figures["local_indexes"] == 1
    assert report.figures["indexed_rows"] == indexed.rows.height > 0


def test_what_the_index_does_not_cover_yet_is_no_damage(indexed: Indexed) -> None:
    indexed.covered.clear()
    indexed.build(indexed.rows.head(3))
    assert indexed.deployment.verified().findings == []


def test_rows_of_a_source_that_has_left_stay_for_a_while(indexed: Indexed) -> None:
    left = indexed.rows.filter(source=HOT).head(2).with_columns(source=pl.lit(EXPIRED))
    indexed.build(pl.concat([indexed.rows, left]))
    assert indexed.deployment.verified().findings == []


def without_a_row(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.slice(1)


def with_an_invented_row(rows: pl.DataFrame) -> pl.DataFrame:
    mine = rows.filter(source=HOT).head(1).with_columns(detail=pl.lit("invented"))
    return pl.concat([rows, mine])


def with_later_times(rows: pl.DataFrame) -> pl.DataFrame:
    number = pl.int_range(pl.len())
    return rows.with_columns(first=pl.when(number == 0).then(pl.col("last")).otherwise("first") + 1)


def with_earlier_times(rows: pl.DataFrame) -> pl.DataFrame:
    mine = rows.filter(source=HOT).head(1).with_columns(first=pl.col("first") - 7)
    return pl.concat([rows, mine])


CASES: list[tuple[Callable[[pl.DataFrame], pl.DataFrame], Kind]] = [
    (without_a_row, Kind.INDEX_MISSING),
    (with_an_invented_row, Kind.INDEX_EXTRA),
    (with_later_times, Kind.INDEX_OTHER),
    (with_earlier_times, Kind.INDEX_OTHER),
]


@pytest.mark.parametrize(("damaged", "kind"), CASES, ids=lambda one: getattr(one, "__name__", None))
def test_a_wrong_row_is_found_and_named(
    indexed: Indexed, damaged: Callable[[pl.DataFrame], pl.DataFrame], kind: Kind
) -> None:
    indexed.build(damaged(indexed.rows))
    report = indexed.deployment.verified()
    assert set(report.counts) == {kind}, report.findings
    finding = report.findings[0]
    assert finding.where.partition == SHARD
    assert finding.where.source
    assert "user " in (finding.where.key or "")
    assert str(indexed.folder) in finding.what
    assert "built anew" in finding.remedy


@pytest.mark.parametrize("value", [None, b"\x10\0\0\0junk"], ids=["lost", "changed"])
def test_a_block_that_cannot_be_read_is_found(indexed: Indexed, value: bytes | None) -> None:
    indexed.build()
    store = UserStore(indexed.folder, shared_cache(1 << 20), indexed._incarnation)
    (run,) = store.runs
    if value is None:
        store.remove_blocks(run)
    else:
        store.write(blocks={block_key(run.number, 0): value})
    store.close()
    (finding,) = indexed.deployment.verified().findings
    assert finding.kind is Kind.INDEX_DAMAGED
    assert f"{indexed.folder}: block 0 of run {run.number}" in finding.what


def test_an_index_of_another_changelog_is_not_compared(indexed: Indexed) -> None:
    indexed.build(indexed.rows.head(1), incarnation="another")
    report = indexed.deployment.verified()
    assert report.findings == []
    assert "users-0: it belongs to another changelog" in report.unchecked[0]
