"""What the readers of logs in memory share: where they are."""

from collections.abc import Mapping

from streams.kafka.log import Partition

__all__ = ["CursorReader"]


class CursorReader:
    """A reader that opens nothing; what it hands over is for its descendants to say."""

    def __init__(self, cursor: Mapping[Partition, int]) -> None:
        self._positions = dict(cursor)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    def silent_s(self) -> float:
        return 0.0

    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset
