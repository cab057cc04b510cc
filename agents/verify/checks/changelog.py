"""A changelog against itself: every entry can be read, every segment has its index and its rows."""

from collections.abc import Iterator

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.shard_image import ShardImage
from streams.state import keys

__all__ = ["check_changelog"]


def check_changelog(topic: str, image: ShardImage) -> Iterator[Finding]:
    """Compare the entries of one shard."""
    yield from _origin(topic, image)
    for key, value in image.values.items():
        if value.fault is not None:
            where = _where(topic, image, key)
            yield found(FindingKind.ENTRY_UNREADABLE, where, f"its value: {value.fault:.300}")
    for segment, index in image.indexes.items():
        facts = image.segments.get(segment)
        where = _where(topic, image, keys.segment(segment), segment)
        if facts is None:
            what = f"there is its index with {index.rows} rows, and no bytes"
            yield found(
                FindingKind.HOT_INCOMPLETE, _where(topic, image, keys.index(segment), segment), what
            )
        elif facts.checksum != index.checksum:
            what = f"its bytes have checksum {facts.checksum}, its index says {index.checksum}"
            yield found(FindingKind.HOT_DAMAGED, where, what)
        elif facts.fault is not None:
            yield found(FindingKind.HOT_ROWS, where, facts.fault)
        elif wrong := facts.differences(index):
            yield found(FindingKind.HOT_ROWS, where, "; ".join(wrong))
        elif facts.misplaced:
            what = f"{facts.misplaced} rows are of users of other shards"
            yield found(FindingKind.HOT_ROWS, where, what)
    for segment in image.segments.keys() - image.indexes.keys():
        where = _where(topic, image, keys.segment(segment), segment)
        yield found(FindingKind.HOT_INCOMPLETE, where, "there are its bytes, and no index")
    for source, count in image.pieces.items():
        lost = [n for n in range(1, count) if keys.uniques_piece(source, n) not in image.values]
        if lost:
            where = _where(topic, image, keys.uniques(source), None, source)
            what = f"piece {lost[0]} of {count} of its numbers of users is missing"
            yield found(FindingKind.COUNTS_INCOMPLETE, where, what)


def _origin(topic: str, image: ShardImage) -> Iterator[Finding]:
    origin = image.origin
    where = Where(topic, image.partition, key=keys.ORIGIN.decode())
    if origin is None and image.values.keys() - {keys.FENCE}:
        yield found(FindingKind.ORIGIN_WRONG, where, "the record of its origin is missing")
    elif origin is not None and origin.partitions != image.partitions:
        what = f"it was written with {origin.partitions} partitions, not {image.partitions}"
        yield found(FindingKind.ORIGIN_WRONG, where, what)


def _where(
    topic: str, image: ShardImage, key: bytes, segment: str | None = None, source: str | None = None
) -> Where:
    value = image.values.get(key)
    offset = None if value is None else value.offset
    if source is None and segment is not None and segment in image.indexes:
        sources = image.indexes[segment].sources
        source = next(iter(sources)) if len(sources) == 1 else None
    name = key.decode(errors="backslashreplace")
    return Where(topic, image.partition, offset, source, segment, name)
