"""What a worker's metrics are now: read from its parts when Prometheus asks.

Everything here is a figure that its owner keeps anyway, so the cost depends on the number of shards
and not on that of sources or events.
"""

import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version

import polars as pl

from agents.scatter.context import WorkerContext
from agents.shard.protocol import ShardStatus
from agents.web.routes.health import awaits, lag_of
from streams.metrics import names
from streams.metrics.exposition import MetricValue

__all__ = ["worker_metrics"]


def worker_metrics(context: WorkerContext) -> Iterator[MetricValue]:
    """All figures that are not counted or measured by `context.meters`."""
    yield _build()
    yield from _worker(context)
    yield from _queues(context)
    yield from _shards(context)
    yield from _topics(context)
    yield from _certificates(context)
    if context.states.caught_up.is_set():
        yield from _sources(context)
    if context.catalog.caught_up.is_set():
        yield from _catalog(context)
    for source, rows, weight in context.largest.found():
        yield MetricValue(names.TOP_ROWS, rows, (source,))
        yield MetricValue(names.TOP_BYTES, weight, (source,))


@cache
def _build() -> MetricValue:
    labels = version("emberline"), platform.python_version(), pl.__version__
    return MetricValue(names.BUILD, 1, labels)


def _worker(context: WorkerContext) -> Iterator[MetricValue]:
    manager = context.manager
    shards = manager.shards.values()
    ready = sum(shard is not None and shard.ready for shard in shards)
    yield MetricValue(names.READY, not awaits(context))
    yield MetricValue(names.IN_TOUCH, manager.in_touch)
    yield MetricValue(names.GENERATION, manager.generation)
    yield MetricValue(names.SHARDS_HELD, len(shards))
    yield MetricValue(names.SHARDS_READY, ready)
    yield MetricValue(names.PARTITIONS, context.settings.partitions)
    yield MetricValue(names.COORDINATOR, manager.coordinates)
    yield MetricValue(names.BROKER_SILENT, context.states.silent_s())


def _queues(context: WorkerContext) -> Iterator[MetricValue]:
    yield MetricValue(names.BUDGET, context.settings.memory_budget)
    for kind, slots in context.admission.slots.items():
        labels = (kind.name.lower(),)
        yield MetricValue(names.ANSWERS, slots.held, labels)
        yield MetricValue(names.ANSWERS_WAIT, slots.waiting, labels)
        yield MetricValue(names.ANSWERS_LIMIT, slots.most, labels)


def _shards(context: WorkerContext) -> Iterator[MetricValue]:
    for partition, shard in context.manager.shards.items():
        if shard is not None:
            yield from _shard(context, partition, shard.status)


def _shard(context: WorkerContext, partition: int, figures: ShardStatus) -> Iterator[MetricValue]:
    labels = (str(partition),)
    behind, lag_s = lag_of(context, partition, figures)
    yield MetricValue(names.LAG_EVENTS, behind, labels)
    if lag_s is not None:
        yield MetricValue(names.LAG_TIME, lag_s, labels)
    if figures.recovery_s is not None:
        yield MetricValue(names.RECOVERY, figures.recovery_s, labels)
    for metric, value in (
        (names.HELD_BACK, figures.events_held_back),
        (names.STABLE_AGE, figures.held_back_s),
        (names.INGEST_WAITS, bool(figures.waits_for)),
        (names.EVENTS, figures.events),
        (names.QUEUED, figures.queued),
        (names.DELTA_ROWS, figures.delta_rows),
        (names.DELTA_LIMIT, figures.delta_rows_limit),
        (names.HOT_ROWS, figures.rows),
        (names.HOT_BYTES, figures.bytes),
        (names.HOT_SEGMENTS, figures.segments),
        (names.ARCHIVED_ROWS, figures.archived_rows),
        (names.ARCHIVED_BYTES, figures.archived_bytes),
        (names.ARCHIVED_SEGMENTS, figures.archived_segments),
    ):
        yield MetricValue(metric, value, labels)


def _topics(context: WorkerContext) -> Iterator[MetricValue]:
    found: dict[str, int] = {}
    for problem in context.topics.findings:
        found[problem.topic] = found.get(problem.topic, 0) + 1
    for topic, count in found.items():
        yield MetricValue(names.TOPIC_FINDINGS, count, (topic,))
    fault = context.topics.archive_fault
    if fault is not None:
        yield MetricValue(names.ARCHIVE_UNSAFE, bool(fault))


def _certificates(context: WorkerContext) -> Iterator[MetricValue]:
    for setting, end_ms in context.certificates.found().items():
        yield MetricValue(names.CERTIFICATE_END, end_ms / 1000, (setting,))
    for use, trouble in context.tls_troubles().items():
        yield MetricValue(names.CERTIFICATE_UNUSABLE, bool(trouble), (use,))


def _sources(context: WorkerContext) -> Iterator[MetricValue]:
    now, stuck = context.clock.now_ms(), context.states.stuck()
    for state, count in context.states.counts().items():
        yield MetricValue(names.SOURCES, count, (state,))
    yield MetricValue(names.STUCK, len(stuck))
    yield MetricValue(names.STUCK_AGE, _age_s(now, min(stuck.values(), default=now)))
    yield MetricValue(names.FAILED, len(context.states.failed()))


def _catalog(context: WorkerContext) -> Iterator[MetricValue]:
    now, sweep = context.clock.now_ms(), context.catalog.sweep
    erasures = context.requests.erasures.open_since()
    yield MetricValue(names.SWEEP_PAUSED, sweep.paused)
    yield MetricValue(names.SWEEP_SUSPENDED, sweep.skewed)
    yield MetricValue(names.SWEEP_AWAITS, sweep.awaiting)
    yield MetricValue(names.UNREADABLE, len(context.catalog.quarantined))
    yield MetricValue(names.ERASURES, len(erasures))
    yield MetricValue(names.ERASURE_AGE, _age_s(now, min(erasures, default=now)))


def _age_s(now_ms: int, since_ms: int) -> float:
    return max(0, now_ms - since_ms) / 1000
