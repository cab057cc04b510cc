"""Where things were written last, as an ordered mapping from names to offsets."""

from collections.abc import Iterator

__all__ = ["since"]


def since(at: dict[str, int], offset: int) -> Iterator[str]:
    """The names whose offset is this one or a later one, the latest first.

    `at` is ascending by offset, and must not change meanwhile.
    """
    for name in reversed(at):
        if at[name] < offset:
            return
        yield name
