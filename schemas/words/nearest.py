"""The word that may have been meant: one rule for everything that is spelt by people."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

__all__ = ["hint", "nearest", "nearest_key"]

_CHARACTERS = 80
"""As much of a strange word is compared: the cost grows with the square of its length."""
_COMPARED = 10_000


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The one of `words` that is most like `word`, in any case; None where none is like it.

    `cutoff` is the least likeness, from 0 to 1, as difflib counts it.
    """
    by_small = {one.casefold(): one for one in words}
    found = get_close_matches(word[:_CHARACTERS].casefold(), by_small, n=1, cutoff=cutoff)
    return by_small[found[0]] if found else None


def nearest_key(word: str, keys: Iterable[str]) -> str | None:
    """The one of `keys`, each `kind:ID`, that `word` may mean: one whose ID alone was written,
    else the nearest of the first so many, which takes a second at most."""
    known = list(keys)
    alone = next((key for key in known if key.partition(":")[2] == word), None)
    return alone or nearest(word, islice((key for key in known if key != word), _COMPARED))


def hint(word: str, words: Iterable[str], *, before: str = "Use one of") -> str:
    """A remedy: the nearest word if there is one, and all that there are."""
    known = list(words)
    near = nearest(word, known)
    return f"{f'Did you mean {near}? ' if near else ''}{before} {', '.join(known)}"
