"""The noun beside numbers: `1 source`, `2 sources`, `shard 3`, `shards 1, 2`. Pure."""

from collections.abc import Collection

__all__ = ["counted", "numbered", "plural"]


def plural(count: float, one: str, more: str = "") -> str:
    """`one` for 1, else `more`, which is `one` with an s unless it is given. The number itself is
    not in it.
    """
    return one if count == 1 else more or f"{one}s"


def counted(count: int, one: str, more: str = "") -> str:
    """The number and what `plural` gives for it: `1,200 sources`."""
    return f"{count:,} {plural(count, one, more)}"


def numbered(one: str, numbers: Collection[int]) -> str:
    """The noun before its numbers, as they come: `shards 1, 2`."""
    return f"{plural(len(numbers), one)} {', '.join(map(str, numbers))}"
