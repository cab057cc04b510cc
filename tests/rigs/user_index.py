"""A hot table with state store and index by user, without a broker, and the expected rows."""

import itertools
import shutil
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from schemas.segment.codec import decode
from schemas.segment.index import SegmentIndex
from schemas.tables import delta
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import wide
from streams.state import compaction_plan, keys
from streams.state.hot_table import HotTable, Put
from streams.state.state_store import StateStore, shared_cache
from streams.user_index.by_user import ByUser
from tests.rigs.rows import as_dict

__all__ = ["LIMITS", "Rig", "Rows"]

LIMITS = compaction_plan.SegmentLimits(rows=40, bytes=900_000, own_rows=25)
Rows = dict[tuple[object, ...], tuple[int, int]]


class Rig:
    """Steps as a shard makes them; `added` are all rows ever, `hidden` what may not be seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = shared_cache(8 << 20)
        self.table = HotTable()
        self.state_store = StateStore(folder / "state", self.cache)
        self.users = self._index("users")
        self.added: list[pl.DataFrame] = []
        self.archive: dict[str, list[Put]] = {}
        self.hidden: set[str] = set()
        self._ids = itertools.count()
        self._crashes = itertools.count()

    def _index(self, name: str, identity: str = "one") -> ByUser:
        users = ByUser(self.folder / name, self.cache)
        users.open(identity)
        return users

    def close(self) -> None:
        self.users.close()
        self.state_store.close()

    def new_id(self) -> str:
        return f"{next(self._ids):024x}"

    def commit(self, puts: list[Put], frames: dict[bytes, pl.DataFrame] | None = None) -> None:
        self.state_store.apply(puts, 1)
        self.users.follow(puts, self.table)
        self.table.apply(puts, frames)

    def read(self, index: SegmentIndex) -> pl.DataFrame:
        return decode(self.state_store.get(keys.segment(index.id)) or b"")

    def add(self, frame: pl.DataFrame) -> None:
        key = keys.delta(self.table.next_sequence, 0)
        self.commit([(key, delta.encode(frame))], {key: frame})
        self.added.append(frame)

    def flush(self) -> None:
        if self.table.deltas:
            self.commit(compaction_plan.flush(self.table.deltas, self.new_id, LIMITS))

    def merge(self) -> None:
        free = [i for i in self.table.segments.values() if i.id not in self._archived()]
        if chosen := compaction_plan.choose_merge(free, 2, 1_000_000):
            read = [(index, self.read(index)) for index in chosen]
            self.commit(compaction_plan.merge(read, self.new_id, LIMITS))

    def _archived(self) -> set[str]:
        return {keys.name(key) for puts in self.archive.values() for key, _ in puts}

    def hide(self, source: str) -> None:
        self.hidden.add(source)
        self.flush()
        for index in self.table.shared_segments([source]):
            puts = compaction_plan.separate(index, self.read(index), [source], self.new_id, LIMITS)
            self.commit(puts)

    def drop(self, source: str) -> None:
        """Moves the segments of a hidden source to the archive, late rows too."""
        self.hide(source)
        own = self.table.own_segments(source)
        for index in own:
            if index.id not in self._archived():
                data = self.state_store.get(keys.segment(index.id))
                puts = [(keys.index(index.id), index.to_json()), (keys.segment(index.id), data)]
                self.archive.setdefault(source, []).extend(puts)
        self.commit(compaction_plan.remove(own))

    def bring(self, source: str) -> None:
        """Half a restore: the source stays hidden."""
        self.commit(self.archive.get(source, [])[:2])

    def show(self, source: str) -> None:
        """A whole restore."""
        self.commit(list(self.archive.get(source, [])))
        self.hidden.discard(source)

    async def index(self, most: int = 3) -> None:
        waiting = self.users.uncovered(self.table)[:most]
        if waiting:
            await self.users.index(waiting, self.state_store)

    def reopen(self, identity: str = "one") -> None:
        self.users.close()
        self.users = self._index(self.users._folder.name, identity)

    def crash(self) -> None:
        """What has not been flushed to the index's disk is lost."""
        name = f"crash-{next(self._crashes)}"
        shutil.copytree(self.users._folder, self.folder / name)
        self.users.close()
        self.users = self._index(name)

    def found(self, names: Iterable[str]) -> Rows:
        """What a reader sees of some users."""
        rows = self.users.pin(self.table, self.state_store).rows(list(names))
        return as_dict([rows.filter(~pl.col("source").is_in(sorted(self.hidden)))])

    def expected(self, names: Iterable[str]) -> Rows:
        everything = pl.concat([pl.DataFrame(schema=SCHEMA), *self.added])
        rows = everything.filter(pl.col("user").is_in(sorted(names)))
        seen = rows.filter(~pl.col("source").is_in(sorted(self.hidden)))
        return as_dict([seen, wide(rows)])
