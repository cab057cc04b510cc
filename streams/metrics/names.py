"""Every metric that a worker has: name, kind, help, labels. A pure table.

Names follow the conventions of Prometheus: base units (seconds, bytes), the unit at the end,
`_total` at the end of a counter. docs/reference/metrics.md is made from this table, and tests
compare the alert rules and the dashboard with it. No label has a user or a source, except for the
few largest sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["ALL", "LONG", "SECTIONS", "SHORT", "STANDARD", "Kind", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]

SHORT = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
"""Bounds of what takes a moment, seconds: a request, a step."""
LONG = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
"""Bounds of what takes a while, seconds: an expiry, a restore."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric. `name` as a query spells it, without the suffixes of a histogram. `bounds` are
    those of the buckets of a histogram, ascending, without the last one, which is infinite.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """`seconds`, `bytes`, or empty for a number of things."""
        base = self.name.removesuffix("_total").rpartition("_")[2]
        return base if base in ("seconds", "bytes") else ""


def _gauge(name: str, help_: str, *labels: str) -> Metric:
    return Metric(f"emberline_{name}", "gauge", help_, labels)


def _counter(name: str, help_: str, *labels: str) -> Metric:
    return Metric(f"emberline_{name}", "counter", help_, labels)


def _durations(name: str, help_: str, *labels: str, bounds: tuple[float, ...] = SHORT) -> Metric:
    return Metric(f"emberline_{name}", "histogram", help_, labels, bounds)


# The worker

BUILD = _gauge(
    "build_info",
    "1; its labels name the versions of emberline, Python and Polars",
    "version",
    "python",
    "polars",
)
READY = _gauge("ready", "1 if /readyz says that the worker is ready, else 0")
IN_TOUCH = _gauge("group_in_touch", "1 if the group of workers acknowledges this one, else 0")
GENERATION = _gauge("group_generation", "Generation of the group in which this worker is")
SHARDS_HELD = _gauge("shards_held", "Shards that are assigned to this worker")
SHARDS_READY = _gauge("shards_ready", "Those of them that have recovered and answer")
PARTITIONS = _gauge("partitions", "Shards of the deployment: the setting partitions")
COORDINATOR = _gauge("coordinator", "1 if the coordinator is assigned to this worker, else 0")
BROKER_SILENT = _gauge(
    "broker_silent_seconds", "Time since a broker last answered the reader of lifecycle.state"
)
RESTARTS = _counter(
    "actor_restarts_total",
    "Starts again of an actor after an error: shard, coordinator, notifier, or a view",
    "actor",
)

# Lag

LAG_EVENTS = _gauge(
    "lag_events", "Records that are acknowledged by the broker and not folded yet", "shard"
)
LAG_TIME = _gauge(
    "lag_seconds",
    "Age of the newest folded record while others wait; 0 if none waits; no value before the first",
    "shard",
)
HELD_BACK = _gauge(
    "held_back_events",
    "Records that cannot be read yet, because a producer has not ended its transaction",
    "shard",
)
STABLE_AGE = _gauge(
    "last_stable_offset_age_seconds",
    "Time for which an open transaction of a producer has held back the last stable offset",
    "shard",
)
INGEST_WAITS = _gauge(
    "ingest_waiting",
    "1 if ingest of the shard waits for something that /status names, else 0",
    "shard",
)
EVENTS = _counter("events_total", "Events folded since the shard started here", "shard")
REJECTS = _counter(
    "rejects_total", "Records that could not be used and went to the topic rejected", "code"
)
RECOVERY = _gauge("recovery_seconds", "Duration of the shard's last takeover", "shard")

# Steps

STEP_TIME = _durations(
    "step_duration_seconds",
    "Duration of one step of work: ingest (commit of laid-out events), flush, expire, restore, "
    "erase, merge",
    "work",
)
COMMIT_TIME = _durations(
    "commit_duration_seconds", "Duration of one transaction of a shard, until the broker's answer"
)
COORDINATOR_TIME = _durations(
    "coordinator_step_duration_seconds",
    "Duration of one step of the coordinator: deciding and committing",
)
CLOCK_SKEW = _gauge(
    "clock_skew_seconds",
    "The broker's clock minus this worker's, at the last step; 0 if both agree within the step",
)

# Queues and memory

QUEUED = _gauge("queued_fetches", "Fetches that are not committed as a whole yet", "shard")
DELTA_ROWS = _gauge("delta_rows", "Rows in deltas, which wait to be flushed to segments", "shard")
DELTA_LIMIT = _gauge("delta_rows_limit", "Rows in deltas at which ingest waits", "shard")
BUDGET = _gauge("memory_budget_bytes", "The setting memory_budget")
ANSWERS = _gauge("answers_in_progress", "Answers that are being computed", "work")
ANSWERS_WAIT = _gauge("answers_waiting", "Requests that wait until they may be computed", "work")
ANSWERS_LIMIT = _gauge("answers_limit", "Answers that are computed at once at most", "work")

# Data

HOT_ROWS = _gauge("hot_rows", "Rows in the hot table, deltas included", "shard")
HOT_BYTES = _gauge("hot_bytes", "Bytes of the segments of the hot table", "shard")
HOT_SEGMENTS = _gauge("hot_segments", "Segments of the hot table", "shard")
ARCHIVED_ROWS = _gauge("archived_rows", "Rows that the manifest of the archive names", "shard")
ARCHIVED_BYTES = _gauge("archived_bytes", "Bytes that the manifest of the archive names", "shard")
ARCHIVED_SEGMENTS = _gauge(
    "archived_segments", "Segments that the manifest of the archive names", "shard"
)
TOP_ROWS = _gauge(
    "top_source_rows",
    "Hot rows of the largest sources in the shards of this worker (setting metrics_sources)",
    "source",
)
TOP_BYTES = _gauge(
    "top_source_bytes",
    "Bytes in segments of the largest sources in the shards of this worker",
    "source",
)

# Lifecycle

SOURCES = _gauge("sources", "Sources by state, as this worker has read lifecycle.state", "state")
STUCK = _gauge("sources_stuck", "Sources whose expiry or restore waits for a shard that is late")
STUCK_AGE = _gauge(
    "sources_stuck_oldest_seconds", "Time since the oldest of those expiries and restores began"
)
FAILED = _gauge(
    "sources_failed",
    "Sources with a failure in their record: a restore failed, or work cannot go on",
)
EXPIRY_TIME = _durations(
    "expiry_duration_seconds",
    "Time from the decision that a source expires until every shard has moved its rows",
    bounds=LONG,
)
RESTORE_TIME = _durations(
    "restore_duration_seconds",
    "Time from the decision that a source is restored until every shard has its rows",
    bounds=LONG,
)
SWEEP_PAUSED = _gauge("sweep_paused", "1 if an operator has paused the sweep, else 0")
SWEEP_SUSPENDED = _gauge(
    "sweep_suspended", "1 if the sweep rests because the clocks of broker and worker differ, else 0"
)
SWEEP_AWAITS = _gauge("sweep_awaiting_sources", "Sources that wait for `emberline confirm`")
ERASURES = _gauge("erasures_open", "Requests that erase users and are not done")
ERASURE_AGE = _gauge("erasures_oldest_seconds", "Age of the oldest of those requests")
UNREADABLE = _gauge("definitions_unreadable", "Definitions in catalog that cannot be read")

# Topics

TOPIC_FINDINGS = _gauge(
    "topic_findings", "Settings of topics that differ from their specification", "topic"
)
ARCHIVE_UNSAFE = _gauge(
    "archive_unsafe",
    "1 if the settings of the archive's topic would lose what moves there, else 0",
)

# Certificates

CERTIFICATE_END = _gauge(
    "certificate_end_timestamp_seconds",
    "When the certificate ends that the file of a setting has, seconds since 1970; of authorities, "
    "the last one of the file",
    "setting",
)
CERTIFICATE_UNUSABLE = _gauge(
    "certificate_unusable",
    "1 if files of certificates have changed and cannot be used, so that the former ones stay in "
    "use, or if others would refuse the worker's certificate, else 0; by use: listener, workers "
    "(asking the others), kafka",
    "use",
)

# HTTP

HTTP_REQUESTS = _counter(
    "http_requests_total",
    "Requests that were answered; 499: the client left",
    "method",
    "route",
    "code",
)
HTTP_TIME = _durations(
    "http_request_duration_seconds",
    "Duration of an answer, until its last byte was handed over",
    "method",
    "route",
)
AUDIENCE_TIME = _durations(
    "audience_duration_seconds",
    "Duration of an audience over all shards, until its last user",
    "outcome",
)

# Messages

NOTICES = _counter(
    "notifications_total",
    "Attempts to deliver a message by mail or webhook: sent, retry, unreachable, refused",
    "channel",
    "outcome",
)
NOTICES_PENDING = _gauge(
    "notifications_pending", "Deliveries that wait; only where the notifier runs", "channel"
)
NOTICES_FAILED = _counter("notifications_failed_total", "Deliveries that were given up", "channel")

SECTIONS: Mapping[str, tuple[Metric, ...]] = MappingProxyType(
    {
        "Worker": (
            *(BUILD, READY, IN_TOUCH, GENERATION, SHARDS_HELD, SHARDS_READY, PARTITIONS),
            *(COORDINATOR, BROKER_SILENT, RESTARTS),
        ),
        "Lag and ingest": (
            *(LAG_EVENTS, LAG_TIME, HELD_BACK, STABLE_AGE, INGEST_WAITS, EVENTS, REJECTS, RECOVERY),
        ),
        "Steps": (STEP_TIME, COMMIT_TIME, COORDINATOR_TIME, CLOCK_SKEW),
        "Queues and memory": (
            *(QUEUED, DELTA_ROWS, DELTA_LIMIT, BUDGET, ANSWERS, ANSWERS_WAIT, ANSWERS_LIMIT),
        ),
        "Data": (
            *(HOT_ROWS, HOT_BYTES, HOT_SEGMENTS, ARCHIVED_ROWS, ARCHIVED_BYTES, ARCHIVED_SEGMENTS),
            *(TOP_ROWS, TOP_BYTES),
        ),
        "Lifecycle": (
            *(SOURCES, STUCK, STUCK_AGE, FAILED, EXPIRY_TIME, RESTORE_TIME, SWEEP_PAUSED),
            *(SWEEP_SUSPENDED, SWEEP_AWAITS, ERASURES, ERASURE_AGE, UNREADABLE),
        ),
        "Topics": (TOPIC_FINDINGS, ARCHIVE_UNSAFE),
        "Certificates": (CERTIFICATE_END, CERTIFICATE_UNUSABLE),
        "HTTP": (HTTP_REQUESTS, HTTP_TIME, AUDIENCE_TIME),
        "Messages": (NOTICES, NOTICES_PENDING, NOTICES_FAILED),
    }
)
"""All metrics of our own, by subject."""

ALL: tuple[Metric, ...] = tuple(metric for some in SECTIONS.values() for metric in some)

STANDARD: Mapping[str, str] = MappingProxyType(
    {
        "process_cpu_seconds_total": "Processor time of the process",
        "process_max_fds": "Files that the process may open",
        "process_open_fds": "Files that the process has open",
        "process_resident_memory_bytes": "Memory that the process uses",
        "process_start_time_seconds": "When the process began, seconds since 1970",
        "process_virtual_memory_bytes": "Address space of the process",
    }
)
"""Metrics of every process, from the library of Prometheus; on Linux only."""
