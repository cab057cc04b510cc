"""A sorted list of texts that grows: what begins with a text is found without a scan of all."""

from bisect import bisect_left, insort
from collections.abc import Iterator

__all__ = ["SortedTexts"]

_LEAST_PENDING = 1_000
_FEW = 64
"""So few texts are put into their places one by one; more are sorted in."""


class SortedTexts:
    """Texts, each once or more often; none is ever taken out: who asks checks what is found.

    New texts wait in a short list, which is merged into the sorted one when it has an eighth of its
    length, or when it was read so often that merging would have been cheaper.
    """

    def __init__(self) -> None:
        self._sorted: list[str] = []
        self._pending: list[str] = []
        self._read = 0

    def __len__(self) -> int:
        return len(self._sorted) + len(self._pending)

    def add(self, text: str) -> None:
        """Add a text."""
        self._pending.append(text)
        if len(self._pending) > max(_LEAST_PENDING, len(self._sorted) // 8):
            self._merge()

    def beginning(self, start: str) -> Iterator[str]:
        """The texts that begin with `start`."""
        self._pay()
        for at in range(bisect_left(self._sorted, start), len(self._sorted)):
            if not self._sorted[at].startswith(start):
                break
            yield self._sorted[at]
        for text in self._pending:
            if text.startswith(start):
                yield text

    def around(self, text: str, count: int) -> list[str]:
        """The texts next to where this one would stand: at most `count` on either side."""
        self._merge()
        at = bisect_left(self._sorted, text)
        return self._sorted[max(0, at - count) : at + count]

    def _pay(self) -> None:
        self._read += len(self._pending)
        if self._read > len(self):
            self._merge()

    def _merge(self) -> None:
        if len(self._pending) > _FEW:
            self._sorted += self._pending
            self._sorted.sort()
        else:
            for text in self._pending:
                insort(self._sorted, text)
        self._pending, self._read = [], 0
