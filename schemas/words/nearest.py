"""The word that may have been meant: one rule for everything that is spelt by people."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["hint", "nearest"]

_CHARACTERS = 80
"""As much of a strange word is compared: the cost grows with the square of its length."""


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of `words` that is most like `word`, in any case; None where none is like it.

    `cutoff` is the least likeness, from 0 to 1, as difflib counts it.
    """
    by_small = {one.casefold(): one for one in words}
    found = get_close_matches(word[:_CHARACTERS].casefold(), by_small, n=1, cutoff=cutoff)
    return by_small[found[0]] if found else None


def hint(word: str, words: Iterable[str], *, before: str = "Use one of") -> str:
    """A remedy: the nearest word if there is one, and all that there are."""
    known = list(words)
    near = nearest(word, known)
    return f"{f'Did you mean {near}? ' if near else ''}{before} {', '.join(known)}"
