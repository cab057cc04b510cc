"""Events and definitions for the connected tests of answers, with the facts of the independent
evaluation.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import Phase, given
from hypothesis import settings as limits
from hypothesis.strategies import SearchStrategy

from agents.tools.publish import Chunk
from schemas.records import codec
from tests.rigs.filters.brute import Event, Facts

_SIGNALS = {"hard_bounce", "spam_report", "invalid_phone", "feature_flag", "inbound_keyword",
            "feed_view", "other"}  # fmt: skip


def some(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    """This many examples of a strategy, the same every time."""
    found: list[Any] = []

    @limits(max_examples=count, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


def told(events: Iterable[Event]) -> list[Event]:
    """The events that producers can send, and the events that follow from them: a user in the
    control group has entered too.
    """
    found = []
    for event in events:
        found.append(event)
        if event.kind == "control":
            found.append(event._replace(kind="entered"))
    return found


def records(events: Iterable[Event]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(type, record) as producers write them."""
    for number, event in enumerate(events):
        kind, _, name = (event.source or "").partition(":")
        record: dict[str, Any] = {"id": f"e{number}", "user_id": event.user, "time": event.time}
        if kind:
            part = "message" if kind == "campaign" else "canvas"
            record |= {f"{kind}_id": name, f"{part}_variation_id": event.variation}
        record["canvas_step_id"] = event.step
        if event.channel is not None:
            record["channel"] = event.channel
        if event.kind == "received":
            yield "send", record
        elif event.kind in ("opened", "machine_opened"):
            yield "open", record | {"machine_open": event.kind == "machine_opened"}
        elif event.kind in ("clicked", "bot_clicked"):
            bot = event.kind == "bot_clicked"
            yield "click", record | {"link_alias": event.detail, "is_suspected_bot_click": bot}
        elif event.kind in ("entered", "control", "exited"):
            held_out, left = event.kind == "control", event.kind == "exited"
            yield "variant", record | {"in_control_group": held_out, "exited": left}
        elif event.kind == "converted":
            yield "conversion", record | {"conversion_behavior_index": int(event.detail or 0)}
        elif event.kind in _SIGNALS:
            signal = event.kind.upper()
            yield "signal", record | {"signal_type": signal, "value": event.detail,
                                      "cleared": event.cleared}  # fmt: skip


def chunks(events: Iterable[Event]) -> list[Chunk]:
    """The events' records by topic."""
    by_topic: dict[str, tuple[list[bytes | None], list[bytes | None]]] = {}
    for name, record in records(events):
        keys, values = by_topic.setdefault(f"interactions.{name}", ([], []))
        keys.append(record["user_id"].encode())
        given = {field: value for field, value in record.items() if value is not None}
        values.append(codec.encode(name, given))
    return [Chunk(topic, keys, values) for topic, (keys, values) in by_topic.items()]


def definitions(known: Facts) -> Chunk:
    """The catalog that says of sources, tags and segments what the facts say."""
    made: list[dict[str, Any]] = []
    for key, source in known.sources.items():
        tags = [tag for tag, keys in known.tags.items() if key in keys]
        made.append(
            {
                "key": key,
                "status": "ACTIVE" if source.state == "ACTIVE" else "STOPPED",
                "name": key,
                "tags": tags,
                "steps": [{"id": step} for step in source.steps],
                "variations": [{"id": variation} for variation in source.variations],
                "legacy_deleted": source.legacy,
            }
        )
    for key, tree in known.segments.items():
        # a draft keeps nothing hot
        made.append({"key": key, "status": "DRAFT", "filters": json.dumps(tree)})
    keys = [record["key"].encode() for record in made]
    return Chunk("catalog", keys, [codec.encode("definition", record) for record in made])


def users(alive: Iterable[str], deleted: Iterable[str], merged: Iterable[str]) -> Chunk:
    """The roster's records."""
    found: dict[str, bytes | None] = {
        user: codec.encode("user", {"user_id": user}) for user in alive
    }
    found |= {user: codec.encode("user", {"user_id": user, "merged_into": "u0"}) for user in merged}
    found |= dict.fromkeys(deleted)
    return Chunk("users", [user.encode() for user in found], list(found.values()))
