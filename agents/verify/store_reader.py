"""The local stores of a data folder, each beside its shard's changelog."""

import asyncio
from pathlib import Path

from agents.verify.checks.state_store import check_store
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.report import VerifyReport
from agents.verify.shards import PinnedImage
from streams.kafka.environment import Environment
from streams.kafka.topic_specs import Topics
from streams.state import keys
from streams.state.changelog import tombstones_ms
from streams.state.store_copy import StoreCopy, StoreUnreadable

__all__ = ["LocalStore"]


class LocalStore:
    """The store of one shard. `open` before its changelog is read, `compare` after, then `close`.

    `position` is the offset at which the values have to be kept; None if there is no store to
    compare.
    """

    def __init__(self, environment: Environment, shard: int, report: VerifyReport) -> None:
        self._environment = environment
        self._topic = Topics(environment.settings.prefix).changelog
        self._shard = shard
        self._report = report
        self._folder = Path(environment.settings.data_dir) / f"shard-{shard}"
        self._copy: StoreCopy | None = None
        self._findings: list[Finding] = []
        self.position: int | None = None

    async def open(self) -> None:
        """Make a copy of the store, if there is one."""
        if not (self._folder / "CURRENT").exists():
            return
        try:
            self._copy = await asyncio.to_thread(StoreCopy(self._folder).__enter__)
            position = self._copy.position
            stamp_ms = self._copy.stamp_ms
        except StoreUnreadable as error:
            self._damaged(error)
            return
        kept_ms = await tombstones_ms(self._environment.kafka, self._topic)
        if not position:
            return
        if self._environment.clock.now_ms() - stamp_ms > kept_ms // 2:
            self._unchecked("it was not in use for long, and a worker fills it anew")
        else:
            self.position = position

    async def compare(self, pinned: PinnedImage) -> list[Finding]:
        """Compare it with the values of the image at `position`."""
        copy, position, image = self._copy, self.position, pinned.image
        if copy is None or position is None:
            return self._findings
        if position > pinned.offset:
            where = Where(self._topic, self._shard, position)
            what = f"{self._folder} was written up to there, the changelog ends at {pinned.offset}"
            return [found(FindingKind.STORE_AHEAD, where, what)]
        try:
            mine = await asyncio.to_thread(copy.get, keys.ORIGIN)
            if mine is None or image.origin is None or image.origin.to_json() != mine:
                self._unchecked("it belongs to another changelog, and a worker fills it anew")
                return []
            compared = check_store(self._topic, image, self._folder, copy.items())
            findings = await asyncio.to_thread(list, compared)
        except StoreUnreadable as error:
            self._damaged(error)
            return self._findings
        self._report.figures.update(local_stores=1)
        return findings

    async def close(self) -> None:
        """Remove the copy."""
        copy, self._copy = self._copy, None
        if copy is not None:
            await asyncio.to_thread(copy.__exit__, None, None, None)

    def _damaged(self, error: StoreUnreadable) -> None:
        where = Where(self._topic, self._shard)
        self._findings = [found(FindingKind.STORE_DAMAGED, where, error.message, error.remedy)]

    def _unchecked(self, why: str) -> None:
        self._report.unchecked.append(f"the store {self._folder}: {why}")
