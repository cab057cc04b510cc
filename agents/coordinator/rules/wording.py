"""Describes the present or possible state of a source in sentences for people. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.coordinator.rules.quarantine import UNREADABLE
from agents.coordinator.rules.state import Source
from schemas.records.lifecycle import Exemption, Hold, SourceState, State
from schemas.words.plural import numbered, plural

__all__ = ["KEEPS_HOT", "Outlook", "chain", "moment", "summary"]

KEEPS_HOT = (
    "A source stays hot while an active campaign, Canvas or Content Card, or an active segment "
    "(setting segments_are_roots, on by default), uses it in a filter about one source, "
    "itself or through segments, or lists it in references."
)
"""The rule in one sentence, the same wherever it is told."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Outlook:
    """A possible state of a source. Times are UTC milliseconds."""

    state: State
    due_at: int | None
    due_because: str | None
    exempt_by: tuple[Exemption, ...]
    held: Hold | None

    @classmethod
    def of(cls, source: Source) -> "Outlook":
        """The outlook that the rules compute for a source."""
        return cls(source.state, source.due_at, source.due_because, source.exempt_by, source.held)

    def sentence(self, now: int) -> str:
        """What the source would do: continues a sentence after "it"."""
        match self.state:
            case State.STOPPED if self.due_at is not None and self.due_at <= now:
                return "would expire at the next sweep"
            case State.STOPPED if self.due_at is not None:
                return f"would expire on {moment(self.due_at, now)}"
            case State.EXEMPT if self.exempt_by:
                return f"would stay hot because {chain(self.exempt_by[0])}"
            case State.HELD if self.held is not None:
                return f"would stay hot because {self.held.by or 'an operator'} holds it"
            case _:
                return f"would be {self.state.value}"


def chain(exemption: Exemption) -> str:
    """From the definition that names the source to the root: `segment:s <- canvas:c (active)`."""
    why = "its definition cannot be read" if exemption.filter == UNREADABLE else "active"
    return " <- ".join((*reversed(exemption.through), exemption.root)) + f" ({why})"


def moment(when: int, now: int) -> str:
    """A day in UTC, or a second if that is less than two days away."""
    if not -(1 << 46) < when < 1 << 47:
        return f"{when} ms"  # beyond what a calendar here can show
    found = _EPOCH + timedelta(milliseconds=when)
    if abs(when - now) >= 2 * _DAY_MS:
        return found.date().isoformat()
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def summary(record: SourceState, changes: Sequence[tuple[str, Outlook]], now: int) -> str:
    """One sentence: the reason, and what would change the state."""
    return "; ".join((_why(record, now), *_what_if(changes, now)))


def _what_if(changes: Sequence[tuple[str, Outlook]], now: int) -> list[str]:
    # the first is the nearest; the last of many is all of them together
    shown = changes[:1] if len(changes) < 2 else (changes[0], changes[-1])
    return [f"if {change} it {then.sentence(now)}" for change, then in shown]


def _why(record: SourceState, now: int) -> str:
    if record.legacy_deleted:
        return "deleted for good under the older policy: nothing brings it back"
    late = _late(record)
    match record.state:
        case State.ACTIVE:
            return f"hot because it is {(record.status or 'active').lower()}"
        case State.EXEMPT:
            return f"hot because {chain(record.exempt_by[0])}" if record.exempt_by else "hot"
        case State.HELD:
            held = record.held
            because = f": {held.reason}" if held is not None and held.reason else ""
            if held is not None and held.legal:
                since = moment(held.since, now)
                return f"hot because {held.by} has it under legal hold since {since}{because}"
            return f"hot because {(held and held.by) or 'an operator'} holds it{because}"
        case State.UNKNOWN:
            return "hot because it has events and no definition: nothing expires by accident"
        case State.EXPIRING:
            return f"hidden: its data is being moved to the archive{late}"
        case State.EXPIRED:
            since = f" since {moment(record.expired_at, now)}" if record.expired_at else ""
            used = _used_in_vain(record)
            back = f"`emberline restore {record.source}` brings it back"
            if record.failure is not None:
                back = f"its restore failed: {record.failure.sentence()}"
            return f"in the archive{since}{used}; {back}"
        case State.RESTORING:
            return f"hidden: its data is being moved back{late}"
        case State.STOPPED:
            return _stopped(record, now)


def _late(record: SourceState) -> str:
    if not record.stuck:
        return ""
    have = plural(len(record.stuck), "has", "have")
    because = f": {record.failure.sentence()}" if record.failure is not None else ""
    return f" ({numbered('shard', record.stuck)} {have} not reported{because})"


def _stopped(record: SourceState, now: int) -> str:
    because = f" ({record.due_because})" if record.due_because else ""
    if record.due_at is None:
        return f"hot: stopped{because}"
    if record.due_at <= now:
        return f"due since {moment(record.due_at, now)}{because}: it expires at the next sweep"
    return (
        f"hot until {moment(record.due_at, now)}{because}: nothing active uses it; "
        f"a use or `emberline hold {record.source}` would keep it hot"
    )


def _used_in_vain(record: SourceState) -> str:
    if not record.exempt_by:
        return ""
    return f", and filters that use it are refused: {chain(record.exempt_by[0])}"
