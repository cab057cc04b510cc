"""A shard's local store against its changelog.

The store was written up to an offset of the changelog, which is older than the moment of the shard.
So the values at that offset are compared. A key that has changed since is left out, as compaction
may have removed the value that it had then.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.shard_image import DIGEST_BYTES, ShardImage
from streams.state import keys

__all__ = ["check_store"]


def check_store(
    topic: str, image: ShardImage, folder: Path, items: Iterable[tuple[bytes, bytes]]
) -> Iterator[Finding]:
    """Compare the items of a store with the values that the image had at its mark."""
    values = dict(image.marked or {})
    values.pop(keys.FENCE, None)  # a proof of ownership is not written to the store
    remedy = f"Stop its worker and delete {folder}: the store is filled anew from the changelog"
    for key, value in items:
        if key == keys.FENCE:
            continue
        known = values.pop(key, None)
        if key in image.changed:
            continue
        where = Where(topic, image.partition, key=_text(key))
        if known is None:
            what = f"{folder} has the key, and the changelog does not"
            yield found(FindingKind.STORE_OTHER, where, what, remedy)
        elif blake2b(value, digest_size=DIGEST_BYTES).digest() != known.digest:
            where = Where(topic, image.partition, known.offset, key=_text(key))
            what = f"{folder} has another value than the changelog"
            yield found(FindingKind.STORE_OTHER, where, what, remedy)
    for key, known in values.items():
        if key not in image.changed:
            where = Where(topic, image.partition, known.offset, key=_text(key))
            what = f"{folder} does not have the key"
            yield found(FindingKind.STORE_OTHER, where, what, remedy)


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
