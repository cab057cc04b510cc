"""The JSON of a request; docs/operating.md explains each member. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agents.coordinator.rules.state import Request, RequestResult, WorkProgress
from agents.requests.availability import availability
from agents.requests.commands import Sent
from agents.views.protocol import SourceLookup
from agents.views.request_view import COUNTS, RequestView
from schemas.records.lifecycle import ALREADY_SO, WORKING, CommandType, Outcome, SourceState, State

__all__ = [
    "MOST_SUMMED_TOGETHER",
    "STATES",
    "Room",
    "part_facts",
    "progress_facts",
    "reason_facts",
    "request_facts",
    "sent_facts",
    "state_of",
]

STATES = ("sent", "running", "finished", "failed")
MOST_SUMMED = 5_000
"""Parts of a request whose progress is added up."""
MOST_SUMMED_TOGETHER = 2_000
"""The same of all requests of a list or an event, which the event loop makes: some milliseconds."""
MOST_NAMED = 200
"""Characters of a name in a list of requests."""
_MOVES = (CommandType.RESTORE, CommandType.EXPIRE)


@dataclass
class Room:
    """So many parts may still be added up."""

    left: int = MOST_SUMMED

    def take(self, parts: int) -> bool:
        """Whether there is room for these parts, which then is taken."""
        if parts > self.left:
            return False
        self.left -= parts
        return True


def state_of(request: Request, view: RequestView) -> str:
    """`running`, `finished` or `failed`; `running` too while this worker has not read how each
    source ended: in the log those results stand behind the request.
    """
    whole = request.whole
    if whole is None or not whole.outcome.final or not view.settled(request.request_id):
        return "running"
    counts = _counts(request, view)
    if counts["refused"] or counts["failed"]:
        return "failed"
    told_of_sources = counts["total"] > 0
    return "finished" if told_of_sources or whole.outcome is Outcome.COMPLETED else "failed"


def request_facts(
    request: Request, view: RequestView, states: SourceLookup, room: Room | None = None
) -> dict[str, Any]:
    """A request without its parts; requests that are described together share one `room`."""
    whole = request.whole
    counts = _counts(request, view)
    nothing_else = counts["total"] > 0 and counts["already"] == counts["total"]
    return {
        "request_id": request.request_id,
        "type": request.type,
        "state": state_of(request, view),
        "time": request.time,
        "changed_at": request.time if whole is None else whole.time,
        "actor": request.actor,
        "reason": request.reason,
        "tag": request.tag,
        "dry_run": request.dry_run,
        "notify": list(request.notify),
        "code": None if whole is None or nothing_else else whole.code,
        "message": "" if whole is None else whole.message,
        "already": nothing_else or (whole is not None and whole.already),
        "counts": counts,
        "first": _first(view.parts(request.request_id), states),
        "progress": _together(request, view, states, room or Room()),
    }


def sent_facts(sent: Sent) -> dict[str, Any]:
    """A request that the coordinator has not yet read, as far as is known."""
    command = sent.command
    return {
        "request_id": command.request_id,
        "type": command.type,
        "state": "sent",
        "time": sent.time,
        "changed_at": sent.time,
        "actor": command.who,
        "reason": command.reason,
        "tag": command.tag,
        "dry_run": command.dry_run,
        "notify": list(command.recipients),
        "code": None,
        "message": "the coordinator has not answered yet: the command stays in the topic",
        "already": False,
        "counts": {"total": 0, **dict.fromkeys(COUNTS, 0)},
        "first": None,
        "progress": None,
    }


def reason_facts(request: Request, view: RequestView, states: SourceLookup) -> list[dict[str, Any]]:
    """Why sources of a request were refused, failed, or were so already: how many with which code,
    and in which state they are; the most frequent reason first.
    """
    found: Counter[tuple[str | None, str | None, bool]] = Counter()
    for source, told in view.parts(request.request_id).items():
        if told.outcome.final and (told.code is not None or told.already):
            record = states.get(source)
            state = None if record is None else record.state.value
            found[told.code, state, told.already] += 1
    for code, count in request.untold_codes:
        found[code, None, code in ALREADY_SO] += count
    return [
        {"code": code, "state": state, "already": already, "count": count}
        for (code, state, already), count in found.most_common()
    ]


def part_facts(
    request: Request, names: Iterable[str], view: RequestView, states: SourceLookup
) -> list[dict[str, Any]]:
    """The result of each of these sources of a request, and the state of the source."""
    parts = view.parts(request.request_id)
    found = []
    for source in names:
        result, record = parts[source], states.get(source)
        until, because = availability(record)
        found.append(
            {
                "source": source,
                "name": "" if record is None else record.name,
                "state": None if record is None else record.state.value,
                "outcome": result.outcome.value,
                "code": result.code,
                "already": result.already,
                "message": result.message,
                "time": result.time,
                "progress": _shown(_progress(request, result, record, view)),
                "available_until": until,
                "available_because": because,
            }
        )
    return found


def progress_facts(record: SourceState, view: RequestView) -> dict[str, Any] | None:
    """How far the shards are with a source; None if they do not work on it, or nothing is known."""
    if record.state not in WORKING:
        return None
    return _shown(view.progress(record.source, record.version))


def _progress(
    request: Request, result: RequestResult, record: SourceState | None, view: RequestView
) -> WorkProgress | None:
    if record is None or request.dry_run or request.type not in _MOVES or result.already:
        return None
    whole = WorkProgress(
        record.version, 0, record.segments, 0, record.bytes, request.time, result.time
    )
    if result.outcome is Outcome.COMPLETED:
        return replace(whole, done=whole.total, bytes_done=whole.bytes)
    if result.outcome.final or record.state not in WORKING:
        return None
    found = view.progress(record.source, record.version)
    return whole if found is None and record.state is State.RESTORING else found


def _together(
    request: Request, view: RequestView, states: SourceLookup, room: Room
) -> dict[str, Any] | None:
    """Of all parts of a request that runs; None if they are too many to be added up each time."""
    parts = view.parts(request.request_id)
    over = request.whole is not None and request.whole.outcome.final
    # nothing else has a progress, and a dry run may be about many
    if over or request.dry_run or request.type not in _MOVES or not room.take(len(parts)):
        return None
    each = [_progress(request, part, states.get(name), view) for name, part in parts.items()]
    known = [one for one in each if one is not None]
    if not known:
        return None
    return _shown(
        WorkProgress(
            version=0,
            done=sum(one.done for one in known),
            total=sum(one.total for one in known),
            bytes_done=sum(one.bytes_done for one in known),
            bytes=sum(one.bytes for one in known) if all(one.bytes for one in known) else 0,
            since=request.time,
            time=max(one.time for one in known),
        )
    )


def _shown(found: WorkProgress | None) -> dict[str, Any] | None:
    if found is None:
        return None
    left = found.seconds_left
    return {
        "done": found.done,
        "total": found.total,
        "bytes_done": found.bytes_done,
        "bytes": found.bytes or None,
        "seconds_left": None if left is None else round(left, 1),
    }


def _first(parts: Mapping[str, RequestResult], states: SourceLookup) -> dict[str, str] | None:
    """The first source of a request, so that a list of requests says what each is about."""
    source = next(iter(parts), None)
    if source is None:
        return None
    record = states.get(source)
    return {"source": source, "name": "" if record is None else record.name[:MOST_NAMED]}


def _counts(request: Request, view: RequestView) -> Mapping[str, int]:
    tally = view.tally(request.request_id)
    found = {name: tally[name] for name in COUNTS}
    found["already"] += request.untold_already
    found["refused"] += request.untold - request.untold_already
    return {"total": sum(found.values()), **found}
