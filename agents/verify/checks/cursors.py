"""A shard's cursor against the logs that it reads."""

from collections.abc import Iterator, Mapping

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.shard_image import ShardImage

__all__ = ["check_cursor"]


def check_cursor(
    image: ShardImage,
    starts: Mapping[str, int],
    ends: Mapping[str, int],
    ids: Mapping[str, str],
) -> Iterator[Finding]:
    """Compare one shard's cursor.

    `starts` are the beginnings of its inputs before the moment of the shard, `ends` their ends
    after it, `ids` the ids of the present topics.
    """
    for topic, offset in sorted(image.cursor.items()):
        where = Where(topic, image.partition, offset)
        known, present = image.cursor_ids.get(topic, ""), ids.get(topic, "")
        if topic not in ends:
            continue
        if offset > ends[topic] or (known and present and known != present and offset):
            what = f"the shard reads on at {offset}, the log ends at {ends[topic]}"
            yield found(FindingKind.INPUT_ANEW, where, f"{what}: the topic was created again")
        elif offset < starts[topic]:
            what = f"offsets {offset} to {starts[topic] - 1} were deleted before they were read"
            yield found(FindingKind.INPUT_LOST, where, what)
