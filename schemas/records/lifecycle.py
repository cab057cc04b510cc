"""The types of the lifecycle: states, commands, reports, definitions, made from decoded records.

Times are UTC milliseconds since 1970.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = [
    "ALREADY_SO",
    "HIDDEN",
    "TROUBLE_TEXT",
    "VISIBLE",
    "WORKING",
    "Command",
    "CommandRefusal",
    "CommandType",
    "Definition",
    "DefinitionPart",
    "ErasureItem",
    "Exemption",
    "Failure",
    "FailureCode",
    "Hold",
    "Outcome",
    "Phase",
    "Report",
    "ReportItem",
    "SourceState",
    "State",
    "Status",
    "is_source",
    "kind_of",
]

UNVERIFIED = " (unverified)"
"""The end of the name of a sender whom no key has proven."""
SOURCE_KINDS = ("campaign", "canvas")


class State(StrEnum):
    """The lifecycle state of a source."""

    ACTIVE = "ACTIVE"
    STOPPED = "STOPPED"
    EXEMPT = "EXEMPT"
    HELD = "HELD"
    UNKNOWN = "UNKNOWN"
    EXPIRING = "EXPIRING"
    EXPIRED = "EXPIRED"
    RESTORING = "RESTORING"


WORKING = frozenset({State.EXPIRING, State.RESTORING})
HIDDEN = WORKING | {State.EXPIRED}
VISIBLE = frozenset(State) - HIDDEN


class Status(StrEnum):
    """The status of a campaign, Canvas, segment or Content Card in its definition."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    STOPPED = "STOPPED"
    ARCHIVED = "ARCHIVED"

    @property
    def stopped(self) -> bool:
        """Whether the retention runs: an archived source counts as stopped, a draft does not."""
        return self in (Status.STOPPED, Status.ARCHIVED)


class CommandType(StrEnum):
    """The commands of operators."""

    RESTORE = "restore"
    HOLD = "hold"
    UNHOLD = "unhold"
    CANCEL = "cancel"
    EXPIRE = "expire"
    PAUSE = "pause"
    RESUME = "resume"
    CONFIRM = "confirm"
    IMPORTED = "imported"
    """Told by an import before it sends events of these sources: their retention begins anew."""
    ERASE = "erase"


class Outcome(StrEnum):
    """The outcome of a request, or of one source in it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether no further result follows."""
        return self in (Outcome.REFUSED, Outcome.COMPLETED, Outcome.FAILED)


class CommandRefusal(StrEnum):
    """Why a command is refused."""

    UNKNOWN_SOURCE = "unknown_source"
    NOT_EXPIRED = "not_expired"
    ALREADY_RESTORING = "already_restoring"
    NOTHING_ARCHIVED = "nothing_archived"
    LEGACY_DELETED = "legacy_deleted"
    NOT_RESTORING = "not_restoring"
    ALREADY_EXPIRED = "already_expired"
    INVALID_COMMAND = "invalid_command"
    SECOND_PERSON = "second_person"
    """Only another person may release a legal hold."""


ALREADY_SO = frozenset(
    {
        CommandRefusal.NOT_EXPIRED,
        CommandRefusal.ALREADY_RESTORING,
        CommandRefusal.NOT_RESTORING,
        CommandRefusal.ALREADY_EXPIRED,
    }
)
"""Refusals of what is so already: for the person who asks, these are success."""


class Phase(StrEnum):
    """The kind of a shard's report about a source."""

    EXPIRED = "expired"
    RESTORED = "restored"
    SEEN = "seen"
    PROGRESS = "progress"
    FAILED = "failed"
    """The work cannot be done: a record of the archive is damaged. The shard does nothing more."""
    DELAYED = "delayed"
    """The work does not go on; the shard tries again."""
    MENDED = "mended"
    """A damaged record of the archive was replaced by a copy of the hot data."""


class FailureCode(StrEnum):
    """Why a shard cannot do its work for a source."""

    ARCHIVE_MISSING = "archive_missing"
    ARCHIVE_DAMAGED = "archive_damaged"
    ARCHIVE_FOREIGN = "archive_foreign"
    ARCHIVE_SILENT = "archive_silent"
    ARCHIVE_UNSAFE = "archive_unsafe"
    SEGMENT_DAMAGED = "segment_damaged"


TROUBLE_TEXT = 1_000
"""Characters of a text about a failure in a report."""

_PHASES = {phase.value: phase for phase in Phase}


@dataclass(frozen=True, slots=True)
class DefinitionPart:
    """A step or variation: its id and its name."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition under one key of the catalog. `filters` is the filter as JSON text."""

    key: str
    status: Status
    name: str = ""
    tags: tuple[str, ...] = ()
    filters: str | None = None
    references: tuple[str, ...] = ()
    stopped_at: int | None = None
    legacy_deleted: bool = False
    updated_at: int | None = None
    steps: tuple["DefinitionPart", ...] = ()
    variations: tuple["DefinitionPart", ...] = ()

    @property
    def kind(self) -> str:
        """`campaign`, `canvas`, `segment` or `content_card`, from the key."""
        return kind_of(self.key)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Definition":
        """From a decoded `definition` record."""
        return cls(
            key=record["key"],
            status=Status(record["status"]),
            name=record.get("name", ""),
            tags=tuple(record.get("tags", ())),
            filters=record.get("filters"),
            references=tuple(record.get("references", ())),
            stopped_at=record.get("stopped_at"),
            legacy_deleted=record.get("legacy_deleted", False),
            updated_at=record.get("updated_at"),
            steps=_parts(record.get("steps")),
            variations=_parts(record.get("variations")),
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A command of an operator. `type` may be an unknown word: then the command is refused."""

    type: str
    sources: tuple[str, ...] = ()
    tag: str | None = None
    users: tuple[str, ...] = ()
    dry_run: bool = False
    request_id: str | None = None
    requested_by: str = ""
    notify_email: str | None = None
    notify: tuple[str, ...] = ()
    """Mail addresses that are told once all of the request is over."""
    reason: str | None = None
    actor: str | None = None
    """Who has been proven to ask: the name of a key. Never a field of the record itself."""
    legal: bool = False
    """Of a hold: only another person may release it."""

    @property
    def who(self) -> str | None:
        """The name for the audit. `requested_by` is not verified, and the text says so."""
        if self.actor is not None:
            return self.actor
        return f"{self.requested_by}{UNVERIFIED}" if self.requested_by else None

    @property
    def recipients(self) -> tuple[str, ...]:
        """All addresses that are to be told, each once."""
        one = (self.notify_email,) if self.notify_email else ()
        return tuple(dict.fromkeys((*self.notify, *one)))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Command":
        """From a decoded `command` record."""
        return cls(
            type=record["type"],
            sources=tuple(record.get("sources", ())),
            tag=record.get("tag"),
            users=tuple(record.get("users", ())),
            dry_run=record.get("dry_run", False),
            request_id=record.get("request_id") or None,
            requested_by=record.get("requested_by", ""),
            notify_email=record.get("notify_email"),
            notify=tuple(record.get("notify", ())),
            reason=record.get("reason"),
            legal=record.get("legal", False),
        )

    def to_record(self) -> dict[str, Any]:
        """As the `command` schema has it: without the actor, which a signature proves."""
        return {
            "type": self.type,
            "sources": list(self.sources),
            "tag": self.tag,
            "users": list(self.users),
            "dry_run": self.dry_run,
            "request_id": self.request_id,
            "requested_by": self.requested_by,
            "notify_email": self.notify_email,
            "notify": list(self.notify),
            "reason": self.reason,
            "legal": self.legal,
        }


class ReportItem(NamedTuple):
    """The work that one shard has done for one source at one version. Sizes are the shard's own."""

    source: str
    version: int
    phase: Phase
    interactions: int = 0
    late_interactions: int = 0
    bytes: int = 0
    segments: int = 0
    checksum: str = ""
    done: int = 0
    total: int = 0
    code: str = ""
    place: str = ""
    segment: str = ""
    detail: str = ""

    def numbers(self) -> tuple[int, ...]:
        """All that is counted in it."""
        return (
            *(self.version, self.interactions, self.late_interactions, self.bytes),
            *(self.segments, self.done, self.total),
        )


class ErasureItem(NamedTuple):
    """How far one shard is with a request that erases users: they are hidden in any case.

    `rows` were removed from segments, and `archived` from archived segments, of which `left` have
    still to be looked at. `hot`: no segment and no other table has rows of the users; `archive`: no
    archived segment that counts has any; `deleted`: their former copies are deleted. `held` are
    sources that keep their rows, because somebody holds them. `merges` records of other users named
    them as the ones whom those became; `apart`: none does any more.
    """

    request_id: str
    rows: int = 0
    hot: bool = False
    archived: int = 0
    left: int = 0
    archive: bool = False
    deleted: bool = False
    held: tuple[str, ...] = ()
    merges: int = 0
    apart: bool = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to be done."""
        return self.hot and self.archive and self.deleted and self.apart


def _report_item(item: Mapping[str, Any]) -> ReportItem:
    fields = dict(item)
    trouble = fields.pop("trouble", "")
    return ReportItem(**(fields | {"phase": _PHASES.get(trouble, _PHASES[fields["phase"]])}))


@dataclass(frozen=True, slots=True)
class Report:
    """One shard's report about one or many sources, or about erasures."""

    partition: int
    items: tuple[ReportItem, ...]
    erasures: tuple[ErasureItem, ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Report":
        """From a decoded `report` record."""
        return cls(
            partition=record["partition"],
            items=tuple(map(_report_item, record["items"])),
            erasures=tuple(
                ErasureItem(**{**item, "held": tuple(item["held"])})
                for item in record.get("erasures", ())
            ),
        )


@dataclass(frozen=True, slots=True, order=True)
class Exemption:
    """Why a source stays hot: a root uses it, by a filter, through a chain of segments."""

    root: str
    through: tuple[str, ...]
    filter: str


@dataclass(frozen=True, slots=True)
class Hold:
    """An operator's hold: the source does not expire while it lasts, and its users are not erased.

    `legal`: if a key has proven who set it, only another key's owner may release it.
    """

    by: str
    reason: str | None
    since: int
    legal: bool = False

    @property
    def needs_second(self) -> bool:
        """Whether only another person may release it."""
        return self.legal and not self.by.endswith(UNVERIFIED)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last restore of a source failed, or why the work under way does not go on.

    `code` is a `FailureCode`. `place` is `topic[partition]@offset` of the record, and `segment` the
    segment that it should be; both may be empty. `shard` has met it, at `since`, UTC milliseconds.
    `final`: a person has to act before it is tried again.
    """

    code: str
    shard: int
    place: str
    segment: str
    detail: str
    remedy: str
    since: int
    final: bool = False

    def sentence(self) -> str:
        """One line: the place, what is wrong, and the remedy."""
        return f"{self.detail}. {self.remedy}" if self.remedy else self.detail


@dataclass(frozen=True, slots=True)
class SourceState:
    """One record of `lifecycle.state`."""

    source: str
    state: State
    version: int
    epoch: int = 0
    name: str = ""
    tags: tuple[str, ...] = ()
    status: str | None = None
    due_at: int | None = None
    due_because: str | None = None
    exempt_by: tuple[Exemption, ...] = ()
    held: Hold | None = None
    deleted: bool = False
    legacy_deleted: bool = False
    stopped_at: int | None = None
    restored_at: int | None = None
    expired_at: int | None = None
    interactions: int = 0
    bytes: int = 0
    segments: int = 0
    checksum: str | None = None
    stuck: tuple[int, ...] = ()
    message: str | None = None
    failure: Failure | None = None
    updated_at: int = 0

    @property
    def hidden(self) -> bool:
        """Whether the source's data is excluded from every answer."""
        return self.state in HIDDEN

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "SourceState":
        """From a decoded `state` record."""
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        known["state"] = State(record["state"])
        known["tags"] = tuple(record.get("tags", ()))
        known["stuck"] = tuple(record.get("stuck", ()))
        known["exempt_by"] = tuple(
            Exemption(item["root"], tuple(item["through"]), item["filter"])
            for item in record.get("exempt_by", ())
        )
        held = record.get("held")
        known["held"] = Hold(**held) if held else None
        failure = record.get("failure")
        known["failure"] = Failure(**failure) if failure else None
        return cls(**known)

    def to_record(self) -> dict[str, Any]:
        """The record for the `state` schema."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        record["state"] = self.state.value
        record["kind"] = kind_of(self.source)
        record["unknown"] = self.state is State.UNKNOWN
        record["tags"] = list(self.tags)
        record["stuck"] = list(self.stuck)
        record["exempt_by"] = [
            {"root": item.root, "through": list(item.through), "filter": item.filter}
            for item in self.exempt_by
        ]
        record["held"] = None if self.held is None else asdict(self.held)
        record["failure"] = None if self.failure is None else asdict(self.failure)
        return record


def _parts(found: Iterable[Mapping[str, Any]] | None) -> tuple[DefinitionPart, ...]:
    return tuple(DefinitionPart(part["id"], part.get("name", "")) for part in found or ())


def kind_of(key: str) -> str:
    """The part of a catalog key or source before the colon."""
    return key.partition(":")[0]


def is_source(key: str) -> bool:
    """Whether a key names a campaign or a Canvas."""
    kind, _, name = key.partition(":")
    return kind in SOURCE_KINDS and bool(name)
