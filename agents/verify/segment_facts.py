"""The rows of an encoded segment in figures, to be compared with what others say of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from schemas.errors import CorruptSegment
from schemas.segment.codec import checksum, decode
from schemas.segment.index import SegmentIndex
from schemas.tables.placement import partition_of

__all__ = ["SegmentFacts", "facts_of"]


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """`sources` has the rows by source, `low` and `high` the first and last (source, user).

    Rows are only read if the bytes have an expected checksum, as damaged bytes may end the process:
    `sources` is empty otherwise. `fault` says what is wrong with the rows, `misplaced` how many of
    them belong to users of other shards.
    """

    checksum: str
    bytes: int
    sources: Mapping[str, int] = field(default_factory=dict)
    low: tuple[str, str] | None = None
    high: tuple[str, str] | None = None
    misplaced: int = 0
    fault: str | None = None

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.sources.values())

    @property
    def was_read(self) -> bool:
        """Whether its rows were read."""
        return bool(self.sources) or self.fault is not None

    def differences(self, index: SegmentIndex) -> list[str]:
        """What an index says differently."""
        pairs = (
            ("bytes", index.bytes, self.bytes),
            ("rows", index.rows, self.rows),
            ("sources", dict(index.sources), dict(self.sources)),
            ("first row", index.low, self.low),
            ("last row", index.high, self.high),
        )
        return [
            f"{name}: the index says {_short(said)}, the rows are {_short(is_so)}"
            for name, said, is_so in pairs
            if said != is_so
        ]


def facts_of(
    data: bytes, expected: Collection[str], partition: int, partitions: int
) -> tuple[SegmentFacts, pl.DataFrame | None]:
    """The facts of a segment of a shard, and its rows; these only if the checksum is one of
    `expected`.
    """
    own = checksum(data)
    if own not in expected:
        return SegmentFacts(own, len(data)), None
    try:
        rows = decode(data)
    except CorruptSegment as error:
        return SegmentFacts(own, len(data), fault=error.message), None
    ends = rows.select("source", "user")
    counts = rows["source"].rle().struct.unnest()
    sources: dict[str, int] = {}
    for source, count in counts.select("value", "len").iter_rows():
        sources[source] = sources.get(source, 0) + count
    facts = SegmentFacts(
        own,
        len(data),
        sources,
        ends.row(0) if rows.height else None,
        ends.row(-1) if rows.height else None,
        int((partition_of(rows["user"], partitions) != partition).sum()),
        _fault(rows, len(sources) != counts.height),
    )
    return facts, rows


def _fault(rows: pl.DataFrame, torn: bool) -> str | None:
    """What no shard writes."""
    if not rows.height:
        return "it has no rows"
    backwards = int((rows["first"] > rows["last"]).sum())
    if backwards:
        return f"{backwards} rows end before they begin"
    sources = rows["source"]
    same = sources[1:] == sources[:-1]
    users = rows["user"]
    if (
        torn
        or bool((sources[1:] < sources[:-1]).any())
        or bool((same & (users[1:] < users[:-1])).any())
    ):
        return "its rows are not in the order of source and user"
    return None


def _short(value: object) -> str:
    return f"{value!s:.120}"
