"""How long the archive rests between two passes that remove erased users from it. Pure.

A pass may copy most of the archive, whether it is for one request or for a thousand. Requests
that come while the archive rests share the next pass. Whoever asks again after each pass would get
a pass for each request; so the archive rests longer, the more passes follow each other.
"""

__all__ = ["FIRST", "LONGEST_S", "MOST", "PassRests"]

FIRST, MOST = 4.0, 64.0
"""A rest is so many times as long as the pass before it: the first of them for a pass after a quiet
time, then twice as many with each pass that follows, up to the most."""
LONGEST_S = 86_400.0


class PassRests:
    """Of one shard, in memory: a shard that starts again begins with a short rest."""

    def __init__(self) -> None:
        self._times = FIRST
        #: A pass that begins from then on comes after a quiet time.
        self._quiet_at = float("-inf")

    def after(self, began: float, ended: float, worked_s: float) -> float:
        """Seconds to rest after a pass from `began` to `ended`, which has worked for `worked_s`
        seconds: other work came between its steps.
        """
        self._times = FIRST if began >= self._quiet_at else min(2 * self._times, MOST)
        rest_s = min(self._times * worked_s, LONGEST_S)
        self._quiet_at = ended + rest_s + min(MOST * worked_s, LONGEST_S)
        return rest_s
