"""Runs of the `by_user` index: their metadata in memory, and the choice of runs to merge."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["FAN_IN", "Run", "choose", "ranges"]

#: As many runs of one tier are merged into one; tiers grow by the same factor.
FAN_IN = 6
_FIRST_TIER_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Run:
    """Rows sorted by packed user, in blocks; `firsts` has the first user of each block.

    A user's rows may continue in the next block.
    """

    number: int
    rows: int
    firsts: tuple[bytes, ...]

    def blocks(self, low: bytes, high: bytes | None) -> range:
        """The blocks that can hold users in `[low, high)`; None is above every user."""
        start = max(0, bisect_left(self.firsts, low) - 1)
        stop = len(self.firsts) if high is None else bisect_left(self.firsts, high)
        return range(start, stop)


def choose(runs: Iterable[Run]) -> list[Run]:
    """The runs to merge next: those of the lowest tier that has `FAN_IN` of them; or none.

    So every row is rewritten once for each tier, and a tier keeps at most `FAN_IN - 1` runs.
    """
    tiers: dict[int, list[Run]] = {}
    for run in runs:
        tiers.setdefault(_tier(run.rows), []).append(run)
    for tier in sorted(tiers):
        if len(tiers[tier]) >= FAN_IN:
            return tiers[tier]
    return []


def _tier(rows: int) -> int:
    tier, bound = 0, _FIRST_TIER_ROWS
    while rows >= bound:
        tier, bound = tier + 1, bound * FAN_IN
    return tier


def ranges(runs: Sequence[Run], blocks: int) -> list[tuple[bytes, bytes | None]]:
    """Ranges `[low, high)` of users that cover all of `runs`, each of about `blocks` blocks.

    All blocks of one user are in the same range.
    """
    edges = sorted(first for run in runs for first in run.firsts)[::blocks]
    lows = sorted(set(edges))
    if not lows:
        return []
    return list(zip([b"", *lows[1:]], [*lows[1:], None], strict=True))
