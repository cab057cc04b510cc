"""A replay leaves in the mirror what a plain dictionary would hold, whatever it writes early."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.state.replay import Replay
from streams.state.state_store import Mirror, shared_cache

KEYS = [b"s/1", b"s/2", b"s/3", b"d/1", b"d/2", b"i/1"]
ENTRIES = st.lists(st.tuples(st.sampled_from(KEYS), st.none() | st.binary(max_size=8)), max_size=40)


def contents(mirror: Mirror) -> dict[bytes, bytes]:
    return {key: value for letter in (b"s/", b"d/", b"i/") for key, value in mirror.items(letter)}


async def replayed(mirror: Mirror, entries: Sequence[tuple[bytes, bytes | None]]) -> Replay:
    """`entries` on their way, written as early as can be, the rest of them not yet."""
    replay = Replay(mirror, stretch_bytes=320, ahead_bytes=105)
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
        mirror = Mirror(Path(folder) / "mirror", shared_cache(1 << 20))
        try:
            broken = await replayed(mirror, before)
            await broken.close()
            position = mirror.position()
            again = await replayed(mirror, entries[position:])
            await again.finish(len(entries))
            await again.close()
            assert contents(mirror) == plain
            assert mirror.position() == len(entries)
        finally:
            mirror.close()


async def test_what_is_written_ahead_moves_no_position(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "mirror", shared_cache(1 << 20))
    try:
        replay = Replay(mirror, stretch_bytes=1_000, ahead_bytes=10)
        replay.add(b"d/1", b"short")
        replay.add(b"s/1", b"many bytes of a segment")
        await replay.write(2)
        await replay.close()
        assert contents(mirror) == {b"s/1": b"many bytes of a segment"}
        assert mirror.position() == 0
        await replay.finish(2)
        assert contents(mirror) == {b"s/1": b"many bytes of a segment", b"d/1": b"short"}
        assert mirror.position() == 2
    finally:
        mirror.close()


async def test_what_was_deleted_weighs_too_so_that_memory_is_bounded(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path / "mirror", shared_cache(1 << 20))
    try:
        replay = Replay(mirror, stretch_bytes=10_000)
        for number in range(200):
            replay.add(f"d/{number}".encode(), b"a delta")
            replay.add(f"d/{number}".encode(), None)
            await replay.write(2 * number + 2)
        await replay.close()
        assert mirror.position() > 200
        assert not contents(mirror)
    finally:
        mirror.close()
