"""The scratch buffer is kept, but not the memory of a large use."""

from schemas.decode.scratch import KEPT_BYTES, scratch

SIZE = 4 * KEPT_BYTES


def test_memory_beyond_what_is_kept_is_given_back() -> None:
    with scratch(SIZE) as space:
        space[:] = b"\xff" * SIZE
    with scratch(SIZE) as space:
        assert space[:KEPT_BYTES] == b"\xff" * KEPT_BYTES, "no fresh pages"
        assert space[KEPT_BYTES:] == bytes(SIZE - KEPT_BYTES), "fresh pages, which are zeros"


def test_it_is_given_back_after_an_error_too() -> None:
    try:
        with scratch(SIZE) as space:
            space[:] = b"\xff" * SIZE
            raise ValueError
    except ValueError:
        pass
    with scratch(SIZE) as space:
        assert space[KEPT_BYTES:] == bytes(SIZE - KEPT_BYTES)


def test_it_has_the_size_that_is_asked_for() -> None:
    for size in (10, 2 * SIZE, 0, 1):
        with scratch(size) as space:
            assert len(space) == size
