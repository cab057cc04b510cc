"""Reads one shard: its changelog up to a moment, then its archive.

The moment is consistent while workers run. A step writes archive and changelog in one transaction,
and the markers of its commit reach the two logs at different times. So the end of the archive is
asked first; then the changelog is read beyond all that it held at that time. Every archived record
below that end has its manifest entry in what was read. The archive is read last, as far as the
manifest names records.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from agents.verify.checks.manifest import ManifestCheck, RowsTo
from agents.verify.finding import Finding
from agents.verify.log_scan import LogScan, LogStuck, ScannedBatch
from agents.verify.report import VerifyReport
from agents.verify.shard_image import ShardImage
from streams.kafka import stored_format
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics

__all__ = ["ArchiveComparison", "PinnedImage", "ShardReader"]


@dataclass(frozen=True)
class PinnedImage:
    """A shard at `offset` of its changelog, and the bounds of its archive shortly before."""

    image: ShardImage
    offset: int
    archive_start: int
    archive_end: int


@dataclass(frozen=True)
class ArchiveComparison:
    """The result of one comparison. `overtaken`: records that the manifest names were deleted
    meanwhile, as segments were moved: the shard has to be read again.
    """

    check: ManifestCheck
    findings: list[Finding]
    overtaken: bool


class ShardReader:
    """Reads shards for a report; `passed` is told how many offsets were read."""

    def __init__(
        self, environment: Environment, report: VerifyReport, passed: Callable[[int], None]
    ) -> None:
        self._environment = environment
        self._settings = environment.settings
        self._kafka = environment.kafka
        self._topics = Topics(environment.settings.prefix)
        self._report = report
        self._passed = passed

    async def pin(
        self,
        partition: int,
        moment: Callable[[], Awaitable[None]],
        mark: int | None = None,
        sink: Callable[[bytes, bytes | None], None] | None = None,
    ) -> PinnedImage | None:
        """The shard at a moment; None if its changelog cannot be read.

        `moment` is awaited shortly before it. `mark` and `sink` as in `ShardImage`.
        """
        changelog = (self._topics.changelog, partition)
        image = ShardImage(partition, self._settings.partitions, mark=mark, sink=sink)
        start, end = await self._bounds(changelog)
        try:
            async with LogScan(self._environment, changelog, start) as scan:
                await self._read(scan, end, image)
                await moment()
                archive = await self._bounds((self._topics.archive, partition))
                await self._read(scan, await scan.log_end(), image)
                # the last read may have ended within a step
                _, end = await self._bounds(changelog)
                await self._read(scan, end, image)
        except LogStuck as error:
            self._report.add([error.finding()])
            self._report.unchecked.append(
                f"shard {partition}: its changelog cannot be read, so nothing of it is compared"
            )
            return None
        image.end()
        return PinnedImage(image, end, *archive)

    async def compare_archive(
        self, pinned: PinnedImage, rows_to: RowsTo | None = None
    ) -> ArchiveComparison:
        """Compare the archive with the manifest of a pinned shard. Adds nothing to the report."""
        image = pinned.image
        partition = (self._topics.archive, image.partition)
        marks = image.erasure_marks
        dead = 0 if marks is None else marks.dead
        start, end = await self._bounds(partition)
        check = ManifestCheck(
            *partition, self._settings.partitions, image.manifest, pinned.archive_end, dead, rows_to
        )
        check.hot = image.whole_segments()
        findings: list[Finding] = []
        try:
            async with LogScan(self._environment, partition, start) as scan:
                await self._take(scan, end, check, findings)
                # the markers of a commit may not have reached this log yet
                if check.end > end:
                    end = min(check.end, await scan.log_end())
                    await self._take(scan, end, check, findings)
        except LogStuck as error:
            findings.append(error.finding())
            findings += check.unreadable(error.offset, end, error.message)
        start, _ = await self._bounds(partition)
        overtaken = start > pinned.archive_start and any(at < start for at in check.missing)
        findings += check.rest()
        return ArchiveComparison(check, findings, overtaken)

    async def _read(self, scan: LogScan, end: int, image: ShardImage) -> None:
        async for batch in scan.until(end):
            await asyncio.to_thread(_apply, batch, image)
            self._took(batch, batch.findings())

    async def _take(
        self, scan: LogScan, end: int, check: ManifestCheck, findings: list[Finding]
    ) -> None:
        async for batch in scan.until(end):
            check.took(batch.first, batch.last)
            findings += await asyncio.to_thread(_compared, batch, check)
            self._took(batch, ())

    def _took(self, batch: ScannedBatch, findings: Iterable[Finding]) -> None:
        self._report.add(findings)
        self._passed(batch.last + 1 - batch.first)

    async def _bounds(self, partition: tuple[str, int]) -> tuple[int, int]:
        return (await self._kafka.admin.bounds([partition]))[partition]


def _apply(batch: ScannedBatch, image: ShardImage) -> None:
    stored_format.check(*batch.partition, batch.records)
    for record in batch.records:
        image.apply(record.offset, record.key, record.value, batch.transactional)


def _compared(batch: ScannedBatch, check: ManifestCheck) -> list[Finding]:
    stored_format.check(*batch.partition, batch.records)
    findings = [*batch.findings()]
    if batch.fault is not None:
        findings += check.unreadable(batch.first, batch.last + 1, batch.fault)
    return findings + [finding for record in batch.records for finding in check.take(record)]
