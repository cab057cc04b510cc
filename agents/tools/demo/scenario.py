"""The input of a demo: the generated day, or the events of the user's own files."""

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from agents.tools.demo.catalog import LOYALTY_TAG, RESTORE_TAG, Roles
from agents.tools.demo.generator import Day
from agents.tools.import_files import batches
from agents.tools.import_journal import ImportPosition
from agents.tools.oracle import Expected, Interactions, counts, refusal
from agents.tools.publish import Chunk, partitions_of
from agents.tools.records import kind_of_record, ready
from schemas.errors import UsageError
from schemas.records import codec
from schemas.records.lifecycle import Status

__all__ = ["Scenario", "of_day", "of_files"]

STOPPED_AT_MOST = 8


@dataclass(frozen=True)
class Scenario:
    """Everything that is published, and the expected result.

    It is made before publishing begins, so that making it does not reduce the rate that is shown.
    """

    events: Sequence[Chunk]
    rejected: Counter[str]
    """How many of the events are bad, by the code they must be rejected with."""
    forwarded: int
    expected: Interactions
    roles: Roles
    opening: Sequence[Chunk]
    """Definitions and users."""
    stops: Sequence[Chunk]
    names: Mapping[str, str]
    """Source -> name."""

    @property
    def total(self) -> int:
        """Number of events, bad ones included."""
        return sum(len(chunk.keys) for chunk in self.events)


def of_day(day: Day, partitions: int) -> Scenario:
    """The generated day, for topics with this many partitions."""
    events: list[Chunk] = []
    expected = Expected()
    rejected: Counter[str] = Counter()
    forwarded = 0
    for chunk in day.chunks():
        events.append(Chunk(chunk.topic, chunk.keys, chunk.values, chunk.partitioner))
        forwarded += _misplaced(events[-1], partitions)
        if chunk.rejected is not None:
            rejected[chunk.rejected] += len(chunk.keys)
        for record in chunk.records():
            expected.add(chunk.event, record)
    catalog = day.catalog
    return Scenario(
        events=events,
        rejected=rejected,
        forwarded=forwarded,
        expected=expected.interactions,
        roles=catalog.roles,
        opening=[_chunk("definition", catalog.opening), _chunk("user", day.users())],
        stops=[_chunk("definition", catalog.stops)],
        names={source.key: source.name for source in catalog.sources},
    )


def _misplaced(chunk: Chunk, partitions: int) -> int:
    """The number of a chunk's events in another partition than their user's."""
    if chunk.partitioner == "murmur2":
        return 0
    found = partitions_of(chunk.keys, partitions, chunk.partitioner)
    return sum(map(operator.ne, found, partitions_of(chunk.keys, partitions, "murmur2")))


def of_files(files: Sequence[Path], now_ms: int) -> Scenario:
    """Events, definitions and users of files; missing definitions are made.

    The sources with the most interactions get the roles, as far as there are enough of them: the
    first is restored, the second held, the third kept hot by a Canvas through a segment. Raises
    UsageError if no event names a source.
    """
    events: list[Chunk] = []
    expected = Expected()
    others: list[Chunk] = []
    definitions: dict[str, dict[str, Any]] = {}
    rejected: Counter[str] = Counter()
    for file in files:
        if not file.is_file():
            raise UsageError(f"There is no file {file}", remedy="Check its name")
        for batch in batches(file, None, ImportPosition()):
            if batch.bad:
                bad = batch.bad[0]
                raise UsageError(f"{bad.where}: {bad.why}", remedy="Correct it, or leave it out")
            for chunk in batch.chunks:
                if chunk.topic == "catalog":
                    found = (codec.decode(v or b"", "definition") for v in chunk.values)
                    definitions |= {str(record["key"]): record for record in found}
                elif chunk.topic == "users":
                    others.append(chunk)
                else:
                    events.append(chunk)
                    name = chunk.topic.partition(".")[2]
                    for value in chunk.values:
                        event = codec.decode(value or b"", name)
                        code = refusal(event, now_ms)
                        if code is None:
                            expected.add(name, event)
                        else:
                            rejected[code] += 1
    sizes = counts(expected.interactions)
    if not sizes:
        raise UsageError("No event of these files names a source", remedy="Give campaign events")
    largest = sorted(sizes, key=lambda source: -sizes[source])
    roles = _roles(largest[:STOPPED_AT_MOST])
    opening = _definitions(largest, definitions, roles)
    rest = [d for key, d in definitions.items() if key not in sizes]
    stops = [d | {"status": Status.STOPPED.value} for d in opening if d["key"] in roles.stopped]
    return Scenario(
        events=events,
        rejected=rejected,
        forwarded=0,
        expected=expected.interactions,
        roles=roles,
        opening=[_chunk("definition", [*rest, *opening]), *others],
        stops=[_chunk("definition", stops)],
        names={d["key"]: d["name"] for d in opening},
    )


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
    """An active definition for every source, and those that keep one of them hot."""
    found = []
    for source in sources:
        made: dict[str, Any] = {"key": source, "name": "", "tags": []}
        definition = made | known.get(source, {})
        definition |= {"status": Status.ACTIVE.value, "updated_at": None}
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
        found.append({"key": roles.kept_through, "name": "demo", "status": Status.DRAFT.value,
                      "filters": uses})  # fmt: skip
        found.append({"key": roles.kept_by, "name": "demo",
                      "status": Status.ACTIVE.value, "filters": inside})  # fmt: skip
    if roles.tag_only is not None:
        by_tag = {"filter": "received_with_tag", "tag": LOYALTY_TAG}
        found.append({"key": "campaign:demo-tag", "name": "demo", "status": Status.ACTIVE.value,
                      "filters": by_tag})  # fmt: skip
    return found


def _chunk(name: str, records: Iterable[Mapping[str, Any]]) -> Chunk:
    kind = kind_of_record(name)
    pairs = [ready(kind, orjson.dumps(record)) for record in records]
    return Chunk(kind.topic, [key for key, _ in pairs], [value for _, value in pairs])
