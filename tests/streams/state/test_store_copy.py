"""A copy of a state store shows its last flush and changes nothing, while the store is in use."""

from pathlib import Path

import pytest

from streams.state import keys
from streams.state.state_store import StateStore, shared_cache
from streams.state.store_copy import StoreCopy, StoreUnreadable


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of a folder and when they were written, without the store's own log."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in found
        if path.name != "LOG"
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shard-0"


def test_it_shows_what_was_flushed_while_the_store_is_open(folder: Path) -> None:
    store = StateStore(folder, shared_cache(1 << 20))
    store.apply([(keys.segment("a"), b"x" * 10_000), (keys.CURSOR, b"{}")], 7, 70)
    store._store.flush()
    store.apply([(keys.segment("b"), b"y" * 10_000)], 9, 90)
    before = files(folder)
    with StoreCopy(folder) as copy:
        assert (copy.position, copy.stamp_ms) == (7, 70)
        assert dict(copy.items()) == {keys.segment("a"): b"x" * 10_000, keys.CURSOR: b"{}"}
        assert copy.get(keys.segment("b")) is None
        # files that the worker deletes meanwhile stay readable here
        store.clear()
        assert copy.get(keys.segment("a")) == b"x" * 10_000
    store.close()
    assert before
    assert [path.name for path in folder.parent.iterdir()] == ["shard-0"]


def test_it_changes_no_file(folder: Path) -> None:
    StateStore(folder, shared_cache(1 << 20)).close(flush=True)
    before = files(folder)
    with StoreCopy(folder) as copy:
        assert (copy.position, dict(copy.items())) == (0, {})
    assert files(folder) == before


def test_a_damaged_store_is_named_and_left_as_it_is(folder: Path) -> None:
    store = StateStore(folder, shared_cache(1 << 20))
    store.apply([(keys.segment("a"), b"x" * 10_000)], 7, 70)
    store.close(flush=True)
    (blob,) = folder.glob("*.blob")
    raw = bytearray(blob.read_bytes())
    raw[len(raw) // 2] ^= 1
    blob.write_bytes(bytes(raw))
    before = files(folder)
    with StoreCopy(folder) as copy, pytest.raises(StoreUnreadable, match="shard-0"):
        dict(copy.items())
    (folder / "CURRENT").write_text("MANIFEST-999999\n")
    with pytest.raises(StoreUnreadable, match="shard-0"), StoreCopy(folder):
        pass
    assert files(folder).keys() == before.keys()
