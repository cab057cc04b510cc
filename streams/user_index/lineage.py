"""Which segments a step replaces, so that knowledge about the old segments is kept for the new
ones.
"""

from collections import Counter
from collections.abc import Iterable

from schemas.segment.index import SegmentIndex
from streams.state import keys
from streams.state.hot_table import HotTable

__all__ = ["replacement"]

Put = tuple[bytes, bytes | None]


def replacement(puts: Iterable[Put], table: HotTable) -> tuple[set[str], set[str]]:
    """Ids removed and added by a step that `table` has not applied yet, if the added segments hold
    exactly the rows of the removed ones; two empty sets for any other step.

    A merge and a separation replace segments. A step that also folds deltas does not, nor does a
    step that adds rows of a source without rows in the removed segments, such as a restore.
    """
    written: list[bytes] = []
    removed: list[SegmentIndex] = []
    for key, value in puts:
        kind = keys.kind(key)
        if kind == b"d" and value is None:
            return set(), set()
        if kind == b"i" and value is not None:
            written.append(value)
        elif kind == b"i" and keys.name(key) in table.segments:
            removed.append(table.segments[keys.name(key)])
    if not removed:
        return set(), set()
    added = [SegmentIndex.from_json(value) for value in written]
    before, after = _rows_by_source(removed), _rows_by_source(added)
    if any(rows > before[source] for source, rows in after.items()):
        return set(), set()
    return {index.id for index in removed}, {index.id for index in added}


def _rows_by_source(segments: Iterable[SegmentIndex]) -> Counter[str]:
    found: Counter[str] = Counter()
    for index in segments:
        found.update(index.sources)
    return found
