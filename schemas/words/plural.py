"""The noun behind a number: `1 source`, `2 sources`. Pure."""

__all__ = ["plural"]


def plural(count: float, one: str, more: str = "") -> str:
    """`one` for 1, else `more`, which is `one` with an s unless it is given. The number itself is
    not in it.
    """
    return one if count == 1 else more or f"{one}s"
