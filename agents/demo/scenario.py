"""What a demo plays: the generated day, or the events of one's own files."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agents.demo.catalog import LOYALTY_TAG, RESTORE_TAG, Roles
from agents.demo.generator import Day
from agents.import_files import batches
from agents.import_journal import Place
from agents.oracle import counts, expect, refusal
from agents.publish import Chunk, Partitioner, Publishable, place
from agents.records import kind_of_record, ready
from schemas import codec
from schemas.errors import UsageError

__all__ = ["Event", "Scenario", "of_day", "of_files"]

Event = tuple[str, Mapping[str, Any]]
"""(type, valid event)"""
Part = tuple[Publishable, list[Event]]
"""Records to publish, and the valid events among them as the oracle takes them."""

STOPPED_AT_MOST = 8


@dataclass(frozen=True)
class Scenario:
    """Everything that is published, and what the demo claims of it."""

    events: int
    rejected: int
    roles: Roles
    opening: Sequence[Chunk]
    """Definitions and users."""
    stops: Sequence[Chunk]
    parts: Callable[[], Iterator[Part]]
    names: Mapping[str, str] = field(default_factory=dict)
    """Source -> name."""

    def forwarded(self, chunk: Publishable, valid: int, partitions: int) -> int:
        """How many of a chunk's events lie on another partition than their user's."""
        if chunk.partitioner == "murmur2" or not valid:
            return 0
        murmur2: Partitioner = "murmur2"
        pairs = zip(
            place(chunk.keys, partitions, chunk.partitioner),
            place(chunk.keys, partitions, murmur2),
            strict=True,
        )
        return sum(found != own for found, own in pairs)


def of_day(day: Day) -> Scenario:
    """The generated day."""

    def parts() -> Iterator[Part]:
        for chunk in day.chunks():
            yield chunk, [(chunk.event, record) for record in chunk.records()]

    users = _chunk("user", day.users())
    catalog = day.catalog
    return Scenario(
        events=day.events,
        rejected=day.rejected,
        roles=catalog.roles,
        opening=[_chunk("definition", catalog.opening), users],
        stops=[_chunk("definition", catalog.stops)],
        parts=parts,
        names={source.key: source.name for source in catalog.sources},
    )


def of_files(files: Sequence[Path], now_ms: int) -> Scenario:
    """Events, definitions and users of files; definitions that are missing are made.

    The sources with most interactions play the parts, as far as there are enough of them:
    the first is restored, the second held, the third kept hot by a Canvas through a segment.
    Raises UsageError where no event names a source.
    """
    parts: list[Part] = []
    others: list[Chunk] = []
    definitions: dict[str, dict[str, Any]] = {}
    rejected = 0
    for file in files:
        if not file.is_file():
            raise UsageError(f"There is no file {file}", remedy="Check its name")
        for batch in batches(file, None, Place()):
            if batch.bad:
                bad = batch.bad[0]
                raise UsageError(f"{bad.where}: {bad.why}", remedy="Mend it, or leave it out")
            for chunk in batch.chunks:
                if chunk.topic == "catalog":
                    found = (codec.decode(v or b"", "definition") for v in chunk.values)
                    definitions |= {str(record["key"]): record for record in found}
                elif chunk.topic == "users":
                    others.append(chunk)
                else:
                    valid = _valid(chunk, now_ms)
                    rejected += len(chunk.values) - len(valid)
                    parts.append((chunk, valid))
    sizes = counts(expect(event for _, valid in parts for event in valid))
    if not sizes:
        raise UsageError("No event of these files names a source", remedy="Give campaign events")
    largest = sorted(sizes, key=lambda source: -sizes[source])
    roles = _roles(largest[:STOPPED_AT_MOST])
    opening = _definitions(largest, definitions, roles)
    rest = [d for key, d in definitions.items() if key not in sizes]
    stops = [d | {"status": "STOPPED"} for d in opening if d["key"] in roles.stopped]
    return Scenario(
        events=sum(len(chunk.keys) for chunk, _ in parts),
        rejected=rejected,
        roles=roles,
        opening=[_chunk("definition", [*rest, *opening]), *others],
        stops=[_chunk("definition", stops)],
        parts=lambda: iter(parts),
        names={d["key"]: d["name"] for d in opening},
    )


def _valid(chunk: Chunk, now_ms: int) -> list[Event]:
    name = chunk.topic.partition(".")[2]
    records = (codec.decode(value or b"", name) for value in chunk.values)
    return [(name, record) for record in records if refusal(record, now_ms) is None]


def _roles(stopped: Sequence[str]) -> Roles:
    held = stopped[1] if len(stopped) > 1 else None
    kept = stopped[2] if len(stopped) > 2 else None
    expiring = tuple(s for s in stopped if s not in (held, kept))
    return Roles(
        stopped=tuple(stopped),
        expiring=expiring,
        kept_hot=kept,
        kept_by="canvas:demo-keeper" if kept else None,
        kept_through="segment:demo-keeper" if kept else None,
        held=held,
        tag_only=expiring[1] if len(expiring) > 1 else None,
        restore_tag=RESTORE_TAG,
        restored=expiring[:1] + expiring[2:3],
    )


def _definitions(
    sources: Sequence[str], known: Mapping[str, dict[str, Any]], roles: Roles
) -> list[dict[str, Any]]:
    """A definition for every source, active, and those that keep one of them hot."""
    found = []
    for source in sources:
        made: dict[str, Any] = {"key": source, "name": source, "tags": []}
        definition = made | known.get(source, {}) | {"status": "ACTIVE", "updated_at": None}
        tags = {*definition["tags"]} - {RESTORE_TAG}
        tags |= {RESTORE_TAG} if source in roles.restored else set()
        tags |= {LOYALTY_TAG} if source == roles.tag_only else set()
        found.append(definition | {"stopped_at": None, "tags": sorted(tags)})
    if roles.kept_hot is not None:
        name = "campaign" if roles.kept_hot.startswith("campaign:") else "canvas"
        uses: dict[str, Any] = {"filter": "received_from_campaign", "campaign": roles.kept_hot}
        if name == "canvas":
            uses = {"filter": "entered_canvas_variation", "canvas": roles.kept_hot}
        inside = {"filter": "in_segment", "segment": roles.kept_through}
        found.append({"key": roles.kept_through, "name": "demo", "status": "DRAFT",
                      "filters": uses})  # fmt: skip
        found.append({"key": roles.kept_by, "name": "demo", "status": "ACTIVE", "filters": inside})
    if roles.tag_only is not None:
        by_tag = {"filter": "received_with_tag", "tag": LOYALTY_TAG}
        found.append({"key": "campaign:demo-tag", "name": "demo", "status": "ACTIVE",
                      "filters": by_tag})  # fmt: skip
    return found


def _chunk(name: str, records: Iterable[Mapping[str, Any]]) -> Chunk:
    kind = kind_of_record(name)
    pairs = [ready(kind, orjson.dumps(record)) for record in records]
    return Chunk(kind.topic, [key for key, _ in pairs], [value for _, value in pairs])
