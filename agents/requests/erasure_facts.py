"""The receipt of a request that erases users: what is gone from where, what remains, until when and
why. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from agents.coordinator.rules.state import Erasure, ErasurePart

__all__ = ["PLACES", "STATES", "receipt_facts"]

STATES = ("gone", "removing", "held", "kept", "remains")
"""`gone`: nothing is left. `removing`: hidden, and being removed. `held`: hidden, and kept because
somebody holds the source. `kept`: without the person. `remains`: not emberline's to remove."""

_DAY_MS = 86_400_000
_COMMAND_MS = 30 * _DAY_MS
_HOUR_MS = 3_600_000
_MOST_SHARDS = 100


@dataclass(frozen=True, slots=True)
class _Place:
    """A place that shards clean: when a shard was done with it, and how many rows it removed."""

    name: str
    done_at: Callable[[ErasurePart], int]
    rows: Callable[[ErasurePart], int] | None = None
    why: str = ""


_CLEANED = (
    _Place("answers", lambda part: part.masked_at, why="no answer, export or audience has them"),
    _Place(
        "hot tables",
        lambda part: part.hot_at,
        lambda part: part.rows,
        "deltas and segments, the roster, external ids and the index by user",
    ),
    _Place(
        "archive",
        lambda part: part.archive_at,
        lambda part: part.archived,
        "segments that a restore would bring back",
    ),
    _Place(
        "former copies in the archive",
        lambda part: part.deleted_at,
        why="what counts is copied behind them, then everything up to them is deleted",
    ),
    _Place(
        "merges of other users",
        lambda part: part.apart_at,
        lambda part: part.merges,
        "records of users who were merged into them: kept as deletions, without aliases",
    ),
)
#: No source has them, so no hold keeps them.
_UNHELD = ("answers", "merges of other users")
_OTHERS = ("counts", "other ids", "changelog", "control", "rejected", "event topics")
PLACES = (*(place.name for place in _CLEANED), *_OTHERS)
"""The places that a receipt names."""


def receipt_facts(erasure: Erasure) -> dict[str, Any]:
    """The receipt as JSON; `until` is null where no date is known. Times are UTC milliseconds."""
    parts = erasure.parts
    held = sorted({source for part in parts.values() for source in part.held})
    return {
        "time": erasure.time,
        "users": erasure.users,
        "shards": len(parts),
        "done": sum(part.done for part in parts.values()),
        "held": held,
        "places": [*_cleaned(parts.values(), bool(held)), *_rest(erasure)],
        "by_shard": [
            {
                "shard": shard,
                "hidden_at": part.masked_at or None,
                "hot_at": part.hot_at or None,
                "rows": part.rows,
                "archive_at": part.archive_at or None,
                "archived": part.archived,
                "left": part.left,
                "deleted_at": part.deleted_at or None,
                "apart_at": part.apart_at or None,
                "merges": part.merges,
            }
            for shard, part in sorted(parts.items())[:_MOST_SHARDS]
        ],
    }


def _cleaned(parts: Iterable[ErasurePart], held: bool) -> list[dict[str, Any]]:
    all_of = list(parts)
    found = []
    for place in _CLEANED:
        moments = [place.done_at(part) for part in all_of]
        done = all(moments)
        # what a hold keeps is hidden like the rest
        kept = held and place.name not in _UNHELD
        state = "gone" if done else "held" if kept else "removing"
        rows = None if place.rows is None else sum(map(place.rows, all_of))
        at = max(moments, default=0) if done else 0
        found.append(_place(place.name, state, place.why, at=at, rows=rows))
    return found


def _rest(erasure: Erasure) -> list[dict[str, Any]]:
    hot = [part.hot_at for part in erasure.parts.values()]
    compacted = max(hot) + _HOUR_MS if hot and all(hot) else 0
    return [
        _place("counts", "kept", "sums without users; feed views of nobody", at=erasure.time),
        _place(
            "other ids",
            "remains",
            "an id that was merged into an erased one is another user: it is in no answer, and its "
            "rows are stored until it is named too",
        ),
        _place(
            "changelog",
            "remains",
            "former values, until Kafka compacts the log segments that hold them",
            until=compacted,
        ),
        _place(
            "control",
            "remains",
            "the command, if its sender did not seal the users",
            until=erasure.time + _COMMAND_MS,
        ),
        _place(
            "rejected",
            "remains",
            "records that could not be read, as they came",
            until=erasure.time + _COMMAND_MS,
        ),
        _place(
            "event topics",
            "remains",
            "interactions.* and users are the producers': their retention decides, and a late "
            "event is not taken in",
        ),
    ]


def _place(
    name: str, state: str, why: str, *, at: int = 0, until: int = 0, rows: int | None = None
) -> dict[str, Any]:
    return {
        "place": name,
        "state": state,
        "at": at or None,
        "until": until or None,
        "rows": rows,
        "why": why,
    }
