"""Hot segments against the manifest: what both have is the same."""

from collections.abc import Iterator

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.shard_image import ShardImage
from streams.state import keys

__all__ = ["check_hot"]


def check_hot(topic: str, image: ShardImage) -> Iterator[Finding]:
    """Compare the segments of one shard that are hot and have a manifest entry.

    `topic` is that of the changelog.
    """
    for (source, segment), entry in image.manifest.items():
        index = image.indexes.get(segment)
        if index is None:
            continue
        pairs = (
            ("checksum", index.checksum, entry.checksum),
            ("rows", index.rows, entry.rows),
            ("bytes", index.bytes, entry.bytes),
            ("sources", list(index.sources), [source]),
        )
        wrong = [
            f"{name} {hot}, in the manifest {said}" for name, hot, said in pairs if hot != said
        ]
        if wrong:
            key = keys.index(segment)
            value = image.values.get(key)
            offset = None if value is None else value.offset
            where = Where(topic, image.partition, offset, source, segment, key.decode())
            yield found(FindingKind.HOT_OTHER, where, f"the hot segment has {'; '.join(wrong)}")
