"""The word that may have been meant: one rule for all words that people type."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

__all__ = ["hint", "nearest", "nearest_key"]

_CHARACTERS = 80
"""As much of a strange word is compared: the cost grows with the square of its length."""
_COMPARED = 10_000


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of `words` that is most similar to `word`, ignoring case; None if none is similar.

    `cutoff` is the least similarity, from 0 to 1, as in difflib.
    """
    by_small = {one.casefold(): one for one in words}
    found = get_close_matches(word[:_CHARACTERS].casefold(), by_small, n=1, cutoff=cutoff)
    return by_small[found[0]] if found else None


def nearest_key(word: str, keys: Iterable[str]) -> str | None:
    """The one of `keys`, each `kind:ID`, that `word` may mean: a key with exactly this ID, else the
    most similar key. Only the first keys are compared, which takes at most a second.
    """
    known = list(keys)
    alone = next((key for key in known if key.partition(":")[2] == word), None)
    return alone or nearest(word, islice((key for key in known if key != word), _COMPARED))


def hint(word: str, words: Iterable[str], *, before: str = "Use one of") -> str:
    """A remedy: the nearest word if there is one, and all allowed words."""
    known = list(words)
    near = nearest(word, known)
    return f"{f'Did you mean {near}? ' if near else ''}{before} {', '.join(known)}"
