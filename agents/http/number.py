"""Whole numbers in paths and queries."""

__all__ = ["number"]

_MOST_DIGITS = 18


def number(text: str) -> int | None:
    """The number in decimal digits; None for anything else, and for more than 64 bits.

    Python's own `int` raises ValueError for some thousands of digits.
    """
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None
