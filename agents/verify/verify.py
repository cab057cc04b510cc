"""The whole verification."""

from collections.abc import Callable
from dataclasses import dataclass

from agents.verify.report import VerifyReport
from agents.verify.shards import ShardReader
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics

__all__ = ["VerifyProgress", "verify"]


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """Offsets read, of about so many."""

    done: int
    total: int


async def verify(
    environment: Environment,
    *,
    progress: Callable[[VerifyProgress], None] = lambda _: None,
) -> VerifyReport:
    """Compare what the topics of a deployment hold. Changes nothing.

    Raises `Recoverable` if no broker answers, `Fatal` if a topic does not exist.
    """
    began = environment.clock.monotonic_s()
    report = VerifyReport()
    settings, topics = environment.settings, Topics(environment.settings.prefix)
    shards = range(settings.partitions)
    logs = [(topic, shard) for topic in (topics.changelog, topics.archive) for shard in shards]
    spans = await environment.kafka.admin.bounds(logs)
    total = sum(end - start for start, end in spans.values())
    done = 0

    def passed(offsets: int) -> None:
        nonlocal done
        done += offsets
        progress(VerifyProgress(done, max(done, total)))

    reader = ShardReader(environment, report, passed)
    for shard in shards:
        pinned = await reader.pin(shard)
        if pinned is not None:
            await reader.compare_archive(pinned)
            report.figures.update(shards=1, hot_segments=len(pinned.image.segments))
    report.seconds = environment.clock.monotonic_s() - began
    return report
