"""The state of the coordinator: frozen values that are replaced and never changed.

Everything here is durable, except `CoordinatorState.used` and `CoordinatorState.exempt`, which are
derived from the catalog: `agents.coordinator.rules.ledger` writes it as the records of the
`coordinator` topic.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agents.coordinator.rules.quarantine import Quarantined
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.filters.references import Use
from schemas.records.lifecycle import (
    Definition,
    Exemption,
    Failure,
    Hold,
    Outcome,
    SourceState,
    State,
    kind_of,
)
from schemas.segment.set_checksum import combine

__all__ = [
    "CoordinatorState",
    "Erasure",
    "ErasurePart",
    "Request",
    "RequestResult",
    "Source",
    "Totals",
    "Why",
    "Work",
    "WorkOrigin",
    "WorkProgress",
]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sizes of a source's data, of one shard or of all."""

    interactions: int = 0
    late_interactions: int = 0
    bytes: int = 0
    segments: int = 0
    checksum: str = ""

    @classmethod
    def sum(cls, parts: "Collection[Totals]") -> "Totals":
        """The sum over all shards; the checksum does not depend on their order."""
        return cls(
            interactions=sum(part.interactions for part in parts),
            late_interactions=sum(part.late_interactions for part in parts),
            bytes=sum(part.bytes for part in parts),
            segments=sum(part.segments for part in parts),
            checksum=combine(part.checksum for part in parts if part.checksum),
        )


class Why(StrEnum):
    """Why a source expires or is restored."""

    RETENTION = "retention"
    OPERATOR = "operator"
    CANCELLED = "cancelled"
    RESUMED = "resumed"
    FAILED = "failed"
    """A restore cannot be done: the source goes back to the archive."""


@dataclass(frozen=True, slots=True)
class WorkOrigin:
    """The sender of a restore or an expiry. `request_id` null: the rules themselves."""

    why: Why
    at: int
    by: str = ""
    request_id: str | None = None
    actor: str | None = None
    """As in `Request`."""
    trace: str = ""
    """The trace context of the command or definition: the event at the end of the work has it."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of the shards for one version of a source, and the shards that have finished."""

    origin: WorkOrigin
    started_at: int
    deadline: int
    due_at: int | None = None
    reported: frozenset[int] = frozenset()
    """The partitions that have finished."""
    totals: Totals = Totals()
    """Of those together: one by one, those of thousands would be no record any more."""
    progress: Mapping[int, tuple[int, int, int]] = field(default_factory=dict, compare=False)
    """Segments done, segments in all and bytes done, by partition; not durable."""
    shown_at: int = field(default=0, compare=False)
    """When the progress was written last, for the workers; 0: never, or by a former coordinator."""
    stuck: tuple[int, ...] = ()
    """The first of the partitions that are late."""
    then_restore: WorkOrigin | None = None


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """How far the shards are with one version of a source. Times are UTC milliseconds.

    `bytes` is 0 while it is not known. `total` may grow until every shard has reported.
    """

    version: int
    done: int
    total: int
    bytes_done: int
    bytes: int
    since: int
    time: int

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None while there is none."""
        if not self.done or self.time <= self.since:
            return None
        return (self.total - self.done) * (self.time - self.since) / self.done / 1000


@dataclass(frozen=True, slots=True)
class Source:
    """One campaign or Canvas. `status` null: there is no definition (any more)."""

    source: str
    state: State = State.UNKNOWN
    version: int = 0
    epoch: int = 0
    changed_at: int = 0
    name: str = ""
    tags: tuple[str, ...] = ()
    status: str | None = None
    deleted: bool = False
    legacy_deleted: bool = False
    stopped_at: int | None = None
    restored_at: int | None = None
    imported_at: int | None = None
    released_at: int | None = None
    expired_at: int | None = None
    due_at: int | None = None
    due_because: str | None = None
    exempt_by: tuple[Exemption, ...] = ()
    held: Hold | None = None
    archived: Totals = Totals()
    noticed: tuple[str, ...] = ()
    """The expiring-soon notices told for the present `due_at`."""
    work: Work | None = None
    message: str | None = None
    failure: Failure | None = None

    @property
    def kind(self) -> str:
        """`campaign` or `canvas`."""
        return kind_of(self.source)

    @property
    def defined(self) -> bool:
        """Whether a definition exists or existed."""
        return self.status is not None or self.deleted

    def progress(self) -> WorkProgress | None:
        """How far the shards are, as last reported; None if they have reported nothing."""
        work = self.work
        if work is None or not work.shown_at or not work.progress:
            return None
        parts = list(work.progress.values())
        done = sum(part[0] for part in parts)
        restoring = self.state is State.RESTORING
        bytes_done = sum(part[2] for part in parts)
        return WorkProgress(
            version=self.version,
            done=done,
            total=max(done, self.archived.segments if restoring else sum(p[1] for p in parts)),
            bytes_done=bytes_done,
            bytes=max(bytes_done, self.archived.bytes) if restoring else 0,
            since=work.started_at,
            time=work.shown_at,
        )

    def shown(self) -> SourceState:
        """The record of `lifecycle.state`."""
        return SourceState(
            source=self.source,
            state=self.state,
            version=self.version,
            epoch=self.epoch,
            name=self.name,
            tags=self.tags,
            status=self.status,
            due_at=self.due_at,
            due_because=self.due_because,
            exempt_by=self.exempt_by,
            held=self.held,
            deleted=self.deleted,
            legacy_deleted=self.legacy_deleted,
            stopped_at=self.stopped_at,
            restored_at=self.restored_at,
            expired_at=self.expired_at,
            interactions=self.archived.interactions,
            bytes=self.archived.bytes,
            segments=self.archived.segments,
            checksum=self.archived.checksum or None,
            stuck=self.work.stuck if self.work else (),
            message=self.message,
            failure=self.failure,
            updated_at=self.changed_at,
        )


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The last result sent for a request, of the whole or of one source."""

    outcome: Outcome
    code: str | None = None
    message: str = ""
    done: int = 0
    total: int = 0
    time: int = 0
    already: bool = False
    """Whether nothing had to be done, as it was so: also where the control topic calls it
    refused."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command that has been read, stored so that the same id has no second effect.

    `sources` are the sources that it names or that its tag resolved to, without the `untold`;
    `CoordinatorState.results` has the last result of each. `asked` identifies everything that the
    command asks for (`requests.asked`; empty if it could not be read, or was read before this field
    existed). `finished` counts the sources with a final outcome, `completed` the successful ones.
    """

    request_id: str
    type: str
    time: int
    by: str = ""
    dry_run: bool = False
    asked: str = ""
    whole: RequestResult | None = None
    sources: tuple[str, ...] = ()
    finished: int = 0
    completed: int = 0
    actor: str | None = None
    """Who asks, as the audit has it: says whether that was verified."""
    untold: int = 0
    """Refused sources that no result is told of: they are counted only."""
    untold_already: int = 0
    """Of those, the ones that were as was asked before."""
    untold_codes: tuple[tuple[str, int], ...] = ()
    """How many of them were refused with which code."""
    tag: str | None = None
    reason: str | None = None
    notify: tuple[str, ...] = ()
    """Mail addresses that are told once all of the request is over."""


@dataclass(frozen=True, slots=True)
class ErasurePart:
    """What one shard has reported of an erasure, and when (UTC milliseconds; 0: not yet).

    `rows` and `archived` are rows that were removed from segments and from archived segments;
    `left` are archived segments to be looked at; `held` are sources that keep their rows. `merges`
    are records of other users that named the users and were made deletions.
    """

    masked_at: int = 0
    rows: int = 0
    hot_at: int = 0
    archived: int = 0
    left: int = 0
    archive_at: int = 0
    deleted_at: int = 0
    held: tuple[str, ...] = ()
    merges: int = 0
    apart_at: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to be done."""
        return bool(self.hot_at and self.archive_at and self.deleted_at and self.apart_at)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A request that erases users, by partition: what each shard is asked, and has reported.

    `time` is the moment of the erasure (UTC milliseconds), `users` how many users there are.
    `orders` has the users, as sealed texts, until the request is over: each shard is asked, also
    one without users, because its users may have been merged into them. `parts` is the receipt.
    """

    time: int
    users: int
    orders: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    parts: Mapping[int, ErasurePart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CoordinatorState:
    """The whole state. The mappings are never changed in place."""

    catalog: Mapping[str, Definition] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    requests: Mapping[str, Request] = field(default_factory=dict)
    results: Mapping[tuple[str, str], RequestResult] = field(default_factory=dict)
    """By (request id, source)."""
    sweep: RetentionSweep = field(default_factory=RetentionSweep)
    erasures: Mapping[str, Erasure] = field(default_factory=dict)
    """By request id."""
    quarantined: Mapping[str, Quarantined] = field(default_factory=dict)
    """By catalog key, where the latest record cannot be read."""
    used: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)
    exempt: Mapping[str, tuple[Exemption, ...]] = field(default_factory=dict)
