"""After a replay the state store holds the same as a plain dictionary."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.state.replay import Replay
from streams.state.state_store import StateStore, shared_cache

KEYS = [b"s/1", b"s/2", b"s/3", b"d/1", b"d/2", b"i/1"]
ENTRIES = st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.binary(max_size=8)), max_size=40)


def contents(state_store: StateStore) -> dict[bytes, bytes]:
    return {
        key: value for letter in (b"s/", b"d/", b"i/") for key, value in state_store.items(letter)
    }


async def replayed(
    state_store: StateStore, entries: Sequence[tuple[bytes, bytes | None]]
) -> Replay:
    """`entries` on their way, written as early as can be, the rest of them not yet."""
    replay = Replay(state_store, stretch_bytes=320, ahead_bytes=105)
    for offset, (key, value) in enumerate(entries):
        replay.add(key, value)
        await replay.write(offset + 1)
    return replay


@settings(max_examples=60)
@given(before=ENTRIES, after=ENTRIES)
async def test_it_ends_as_a_dictionary_does_after_a_crash_too(
    before: list[tuple[bytes, bytes | None]], after: list[tuple[bytes, bytes | None]]
) -> None:
    entries = before + after
    plain: dict[bytes, bytes] = {}
    for key, value in entries:
        plain.pop(key, None)
        if value is not None:
            plain[key] = value
    with tempfile.TemporaryDirectory() as folder:
        state_store = StateStore(Path(folder) / "state", shared_cache(1 << 20))
        try:
            broken = await replayed(state_store, before)
            await broken.close()
            position = state_store.position()
            again = await replayed(state_store, entries[position:])
            await again.finish(len(entries))
            await again.close()
            assert contents(state_store) == plain
            assert state_store.position() == len(entries)
        finally:
            state_store.close()


async def test_what_is_written_ahead_moves_no_position(tmp_path: Path) -> None:
    state_store = StateStore(tmp_path / "state", shared_cache(1 << 20))
    try:
        replay = Replay(state_store, stretch_bytes=1_000, ahead_bytes=10)
        replay.add(b"d/1", b"short")
        replay.add(b"s/1", b"many bytes of a segment")
        await replay.write(2)
        await replay.close()
        assert contents(state_store) == {b"s/1": b"many bytes of a segment"}
        assert state_store.position() == 0
        await replay.finish(2)
        assert contents(state_store) == {b"s/1": b"many bytes of a segment", b"d/1": b"short"}
        assert state_store.position() == 2
    finally:
        state_store.close()


async def test_what_was_deleted_weighs_too_so_that_memory_is_bounded(tmp_path: Path) -> None:
    state_store = StateStore(tmp_path / "state", shared_cache(1 << 20))
    try:
        replay = Replay(state_store, stretch_bytes=10_000)
        for number in range(200):
            replay.add(f"d/{number}".encode(), b"a delta")
            replay.add(f"d/{number}".encode(), None)
            await replay.write(2 * number + 2)
        await replay.close()
        assert state_store.position() > 200
        assert not contents(state_store)
    finally:
        state_store.close()
