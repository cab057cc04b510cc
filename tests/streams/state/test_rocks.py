import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from streams.state.rocks import (
    OpenSnapshots,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreFailed,
    StoreHeld,
    StoreSnapshot,
    close_store,
    is_damaged,
    open_store,
    using,
)
from streams.state.state_store import StateStore, shared_cache
from streams.user_index.store import UserStore

HOLDS = """
import sys
from rocksdict import Options, Rdict
store = Rdict(sys.argv[1], Options(raw_mode=True))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "further" / "store"


def opened(folder: Path) -> Rdict:
    return open_store(folder, Options(raw_mode=True))


def spoil(folder: Path, which: Callable[[int], Iterable[int]]) -> None:
    """Make a store of a thousand keys, and turn these bytes of its table, given its size, round."""
    store = opened(folder)
    for number in range(1000):
        store[b"%04d" % number] = b"1" * 100
    store.flush()
    store.close()
    (table,) = folder.glob("*.sst")
    data = bytearray(table.read_bytes())
    for at in which(len(data)):
        data[at] ^= 0xFF
    table.write_bytes(data)


def test_a_store_is_free_at_once_however_slow_a_reader_is(folder: Path) -> None:
    store, views = opened(folder), OpenSnapshots()
    store[b"a"] = b"1"
    slow = views.add(StoreSnapshot(store.snapshot(), folder))
    views.add(StoreSnapshot(store.snapshot(), folder))
    assert slow[b"a"] == b"1"
    views.cut()
    close_store(folder, store)
    again = opened(folder)
    try:
        with pytest.raises(StoreClosed):
            slow[b"a"]
        assert again[b"a"] == b"1"
    finally:
        again.close()


def test_a_store_is_made_and_found_again(folder: Path) -> None:
    store = opened(folder)
    store[b"a"] = b"1"
    store.close()
    store = opened(folder)
    assert store[b"a"] == b"1"
    store.close()


def test_what_is_no_store_is_emptied(folder: Path) -> None:
    store = opened(folder)
    store[b"a"] = b"1"
    store.close()
    (folder / "CURRENT").write_text("not a manifest\n")
    store = opened(folder)
    assert store.get(b"a") is None
    store.close()


def test_a_damaged_store_is_emptied(tmp_path: Path) -> None:
    # "block checksum mismatch" is no lock, nor is a folder of such a name
    folder = tmp_path / "blocks" / "store"
    spoil(folder, lambda size: range(size // 2, size - 60))
    with pytest.raises(Exception, match="block checksum mismatch"):
        Rdict(str(folder), Options(raw_mode=True))
    store = opened(folder)
    assert store.get(b"0001") is None
    store.close()


def test_a_snapshot_of_a_closed_store_holds_it(folder: Path) -> None:
    store = opened(folder)
    store[b"a"] = b"1"
    snapshot = store.snapshot()
    store.close()
    with pytest.raises(StoreHeld, match="in this process"):
        opened(folder)
    assert snapshot[b"a"] == b"1"
    del snapshot
    opened(folder).close()


def test_a_store_that_only_a_cycle_holds_is_released(folder: Path) -> None:
    class Holder:
        def __init__(self) -> None:
            self.store = opened(folder)
            self.itself = self

    Holder()
    opened(folder).close()


def test_another_processes_store_is_left_alone(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreBusy, match="another process"):
            opened(folder)
        other.stdin.close()
        other.wait(30)
    opened(folder).close()


def test_a_store_whose_folder_went_is_closed_and_created_again(folder: Path) -> None:
    store = opened(folder)
    store[b"a"] = b"1"
    shutil.rmtree(folder)

    close_store(folder, store)

    del store
    store = opened(folder)
    assert store.get(b"a") is None
    close_store(folder, store)


def test_damage_that_a_read_finds_empties_the_store_when_it_is_next_opened(folder: Path) -> None:
    spoil(folder, lambda size: range(20, 3000))
    store = opened(folder)
    view = StoreSnapshot(store.snapshot(), folder)
    assert not is_damaged(folder)

    with pytest.raises(StoreDamaged, match=str(folder)):
        _ = view[b"0001"]
    assert is_damaged(folder)
    del view
    close_store(folder, store)

    store = opened(folder)
    assert not is_damaged(folder)
    assert store.get(b"0001") is None
    close_store(folder, store)


def test_other_errors_of_a_read_say_nothing_of_the_store(folder: Path) -> None:
    folder.mkdir(parents=True)
    with pytest.raises(KeyError), using(folder):
        raise KeyError("x")
    assert not is_damaged(folder)


def test_a_store_that_lost_a_file_is_damaged_too(folder: Path) -> None:
    with pytest.raises(StoreDamaged, match="No such file"), using(folder):
        raise RuntimeError("IO error: No such file or directory: While open a file: x.sst")
    assert is_damaged(folder)


@pytest.mark.parametrize("value", [b"v" * 100, b"v" * 5_000], ids=["in the table", "in a blob"])
def test_an_iteration_that_meets_damage_does_not_end_as_if_it_were_whole(
    folder: Path, value: bytes
) -> None:
    """A shard that loaded the first half of its entries would answer from them."""
    store = StateStore(folder, shared_cache(1 << 20))
    store.apply([(b"i/%06d" % number, value) for number in range(2_000)], 5, 5)
    store.close(flush=True)
    (file,) = folder.glob("*.blob" if len(value) > 4_096 else "*.sst")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(bytes(raw))

    store = StateStore(folder, shared_cache(1 << 20))
    with pytest.raises(StoreDamaged, match=str(folder)):
        list(store.items(b"i/"))
    store.close()
    assert is_damaged(folder)


def test_the_index_of_users_does_not_lose_runs_to_damage(folder: Path) -> None:
    index = UserStore(folder, shared_cache(1 << 20), "one")
    index.write(covered=[f"{number:024x}" for number in range(2_000)])
    index._store.flush()
    index.close()
    (file,) = folder.glob("*.sst")
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(bytes(raw))
    with pytest.raises(StoreDamaged, match=str(folder)):
        UserStore(folder, shared_cache(1 << 20), "one")


@pytest.mark.parametrize(
    "said",
    [
        "IO error: No space left on device: While appending to file: MANIFEST-000009",
        "IO error: DB::Open() failed --- Unable to persist: IO error: Read-only file system: x",
        "IO error: File too large: While appending to file: 000004.log",
    ],
)
def test_a_full_disk_costs_no_store_and_is_named(
    folder: Path, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(folder)
    store[b"k"] = b"v"
    store.close()
    room = [False]

    def made(path: str, options: Options) -> Rdict:
        if not room[0]:
            raise Exception(said)  # as the library does
        return Rdict(path, options)

    monkeypatch.setattr("streams.state.rocks.Rdict", made)
    with pytest.raises(StoreFailed, match="Make room") as failed:
        opened(folder)
    assert str(folder) in str(failed.value)
    room[0] = True
    store = opened(folder)
    assert store[b"k"] == b"v"
    store.close()


def test_a_write_that_the_disk_refuses_is_no_damage(folder: Path) -> None:
    with pytest.raises(StoreFailed), using(folder):
        raise Exception("IO error: No space left on device: While appending to file: 000004.sst")
    assert not is_damaged(folder)
