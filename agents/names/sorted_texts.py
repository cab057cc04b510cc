"""A sorted list of texts that grows: what begins with a text is found without a scan of all."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

__all__ = ["SortedTexts"]

_FEW = 64
"""So few texts are put into their places one by one; more are sorted in."""


class SortedTexts:
    """Texts, each once or more often; none is ever taken out: who asks checks what is found."""

    def __init__(self) -> None:
        self._sorted: list[str] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, texts: Sequence[str]) -> None:
        """Add texts."""
        if len(texts) > _FEW:
            self._sorted += texts
            self._sorted.sort()
        else:
            for text in texts:
                insort(self._sorted, text)

    def beginning(self, start: str) -> Iterator[str]:
        """The texts that begin with `start`."""
        for at in range(bisect_left(self._sorted, start), len(self._sorted)):
            if not self._sorted[at].startswith(start):
                break
            yield self._sorted[at]

    def around(self, text: str, count: int) -> list[str]:
        """The texts next to where this one would stand: at most `count` on either side."""
        at = bisect_left(self._sorted, text)
        return self._sorted[max(0, at - count) : at + count]
