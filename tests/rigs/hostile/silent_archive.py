"""The broker's log, whose archive does not answer, has flipped bytes or another retention, while a
test wants it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.decode.batch import RecordBatch
from schemas.errors import Recoverable
from streams.kafka.fetch import Fetcher
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.log import DEFAULT_OPTIONS, LogReader, Partition, ReaderOptions
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["FiniteLog", "FlippingLog", "SilentLog"]


class FiniteLog(KafkaLog):
    """While `finite`, the archive's topic has a retention of an hour; `asked` counts the looks."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.finite = True
        self.asked = 0
        archive, ask = Topics(settings.prefix).archive, self.admin.configs

        async def configs(topics: Iterable[str]) -> dict[str, dict[str, str]]:
            found = await ask(topics)
            if archive in found:
                self.asked += 1
                found[archive] |= {"retention.ms": "3600000"} if self.finite else {}
            return found

        self.admin.configs = configs  # type: ignore[method-assign]


class SilentLog(KafkaLog):
    """While `hangs`, a reading of the archive gets no answer; `asked` counts these readings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._own = settings
        self.hangs = True
        self.asked = 0

    def reader(
        self, cursor: Mapping[Partition, int], options: ReaderOptions = DEFAULT_OPTIONS
    ) -> LogReader:
        archive = Topics(self._own.prefix).archive
        if not (self.hangs and any(topic == archive for topic, _ in cursor)):
            return super().reader(cursor, options)
        self.asked += 1
        return _Silent(self._own, cursor, options)


class _Silent(Fetcher):
    async def progress(self, silence_s: float = 30.0) -> list[RecordBatch]:
        await asyncio.sleep(silence_s)  # the answer that does not come
        raise Recoverable(f"no record came for {silence_s} s")

    def silent_s(self) -> float:
        return 1e9


class FlippingLog(KafkaLog):
    """The broker's log as from a damaged disk: one byte of `flips`, where it occurs in a batch, is
    another one, so that the checksum of the batch is wrong. `below`: only in
    answers that begin below this offset.
    """

    flips = b""
    below = 1 << 60

    def reader(
        self, cursor: Mapping[Partition, int], options: ReaderOptions = DEFAULT_OPTIONS
    ) -> LogReader:
        reader = super().reader(cursor, options)
        unpack = reader._unpack  # type: ignore[attr-defined]

        def damaged(raw: bytes, *more: Any) -> Any:
            data = bytearray(raw)
            at = data.find(self.flips)
            if self.flips and at >= 0 and int.from_bytes(data[:8]) < self.below:
                data[at + len(self.flips) // 2] ^= 1
            return unpack(bytes(data), *more)

        reader._unpack = damaged  # type: ignore[attr-defined]
        return reader
