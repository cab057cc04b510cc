"""`verify` proves absence: a trace of an erased user is found wherever it lies, and named."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agents.verify.kinds import FindingKind as Kind
from agents.verify.named_traces import words_of
from agents.verify.report import VerifyReport
from agents.verify.user_traces import user_traces
from agents.verify.verify import VerifyOptions
from schemas.records import codec
from schemas.segment import codec as segments
from schemas.segment.index import build
from schemas.tables import delta
from schemas.tables.counts import COUNT_SCHEMA
from schemas.tables.erased import ErasureKey, Mask
from schemas.tables.external import EXTERNAL_SCHEMA
from schemas.tables.placement import partition_of
from schemas.tables.roster import ROSTER_SCHEMA
from streams import erasure_key
from streams.clock import ManualClock
from streams.kafka.environment import Environment
from streams.state import archive, keys
from streams.state import auxiliary_table as auxiliary
from streams.state.erasures import ErasureMarks, ErasureWork, puts_of
from streams.state.hot_table import ManifestEntry
from streams.state.state_store import shared_cache
from streams.user_index import block
from streams.user_index.merge import write_blocks
from streams.user_index.runs import Run
from streams.user_index.store import UserStore
from tests.rigs.interaction_rows import frame_of
from tests.rigs.upgrade.deployment import EXPIRED
from tests.rigs.verified import Deployment, names, recorded

GHOST = "ghost-4711"
HOT = "campaign:a"
THEN = 1_767_225_600_000
"""The time of all rows; the user was erased a second later."""
SEGMENT = "f" * 24
ERASED = frozenset(kind for kind in Kind if kind.startswith("erased_"))


@dataclass
class Erased:
    """The recorded deployment, in which one user was erased, of whom nothing is left."""

    deployment: Deployment
    key: ErasureKey
    shard: int

    def erase(self, *, hot: int = 1, dead: int = 0, returned: int | None = None) -> None:
        """What the changelog says once it is done."""
        (user,) = Mask(self.key).erased(self.key.tokens([GHOST]), THEN + 1_000)
        if returned is not None:
            user = replace(user, returned_at=returned, returned_from=returned)
        self.put(*puts_of([user])[0])
        self.put(*ErasureMarks(self.key.id, 1, hot, dead).put())

    def put(self, key: bytes, value: bytes | None) -> dict[str, Any]:
        """A later value of a key; the parts of `where` that name it."""
        offset = self.deployment.put(self.shard, key, value)
        return {"partition": self.shard, "offset": offset, "key": key.decode()}

    def found(self) -> VerifyReport:
        return self.deployment.verified()

    def traces(self, report: VerifyReport) -> list[Any]:
        return [one for one in report.findings if one.kind in ERASED]


@pytest.fixture
def erased(tmp_path: Path) -> Erased:
    deployment = recorded(tmp_path)
    file = tmp_path / "erasure.key"
    key = erasure_key.make(file)
    deployment.settings = replace(deployment.settings, erasure_key_file=file)
    return Erased(deployment, key, shard_of(GHOST))


def shard_of(user: str) -> int:
    return int(partition_of(pl.Series([user]), 4)[0])


def rows(source: str = HOT, time: int = THEN) -> pl.DataFrame:
    return frame_of([(source, GHOST, "received", "EMAIL", None, None, None, time, time)])


def test_nothing_is_found_of_a_user_of_whom_nothing_is_left(erased: Erased) -> None:
    erased.erase()
    report = erased.found()
    assert (report.findings, report.unchecked) == ([], [])
    assert report.figures["erased_users"] == 1


def test_an_event_from_before_a_return_is_no_part_of_the_row_of_one_since(erased: Erased) -> None:
    """Both events are of the same row, and only the later one counts."""
    erased.erase(returned=THEN + 5_000)
    topic = erased.deployment.partition("interactions.send", erased.shard)
    ends = topic.end
    for time in (THEN, THEN + 6_000):
        event = {"id": str(time), "user_id": GHOST, "time": time, "campaign_id": "a"}
        value = codec.encode("send", event)
        offset = topic.append(GHOST.encode(), value, transactional=False)
        topic.change(offset, timestamp=time)
    cursor = erased.deployment.partition("changelog", erased.shard).last(keys.CURSOR).value or b""
    name = erased.deployment.topics.event("send")
    moved = cursor.replace(f'"{name}": {ends}'.encode(), f'"{name}": {topic.end}'.encode())
    assert moved != cursor
    erased.put(keys.CURSOR, moved)
    options = VerifyOptions(against_topics=True)
    for last, kinds in ((THEN + 6_000, {}), (THEN + 7_000, {Kind.ROW_OTHER: 1})):
        row = (HOT, GHOST, "received", "OTHER", None, None, None, THEN + 6_000, last)
        erased.put(keys.delta(999, 0), delta.encode(frame_of([row])))
        report = erased.deployment.verified(options=options)
        found = {kind: count for kind, count in report.counts.items() if kind not in ERASED}
        assert (found, report.unchecked) == (kinds, []), report.findings


def in_a_delta(erased: Erased) -> dict[str, Any]:
    return erased.put(keys.delta(999, 0), delta.encode(rows()))


def in_a_segment(erased: Erased) -> dict[str, Any]:
    data = segments.encode(rows())
    index = build(SEGMENT, 0, rows(), data)
    erased.put(keys.index(SEGMENT), index.to_json())
    return erased.put(keys.segment(SEGMENT), data) | {"segment": SEGMENT}


def _table(erased: Erased, letter: bytes, row: dict[str, Any], schema: pl.Schema) -> dict[str, Any]:
    return erased.put(
        keys.run(letter, 0, SEGMENT, 0), auxiliary.encode(pl.DataFrame([row], schema=schema))
    )


def in_the_counts(erased: Erased) -> dict[str, Any]:
    row = {"source": "@feed", "user": GHOST, "day": 1, "kind": "received", "count": 3}
    return _table(erased, b"a", row, COUNT_SCHEMA)


def in_the_roster(erased: Erased) -> dict[str, Any]:
    row = {"user": GHOST, "external": "E-1", "deleted": False, "sequence": 5}
    return _table(erased, b"r", row, ROSTER_SCHEMA)


def in_a_delta_of_the_roster(erased: Erased) -> dict[str, Any]:
    row = {"user": GHOST, "external": "E-1", "deleted": False, "sequence": 5}
    data = delta.encode(pl.DataFrame([row], schema=ROSTER_SCHEMA))
    return erased.put(keys.delta(999, 0, b"q"), data)


def in_the_external_ids(erased: Erased) -> dict[str, Any]:
    row = {"user": GHOST, "external": "E-1", "time": THEN}
    return _table(erased, b"y", row, EXTERNAL_SCHEMA)


def in_another_users_record(erased: Erased) -> dict[str, Any]:
    """In the roster of another shard."""
    other = (erased.shard + 1) % 4
    named = next(name for name in map(str, range(99)) if shard_of(name) == other)
    row = {"user": named, "merged_into": GHOST, "deleted": False, "sequence": 5}
    key = keys.run(b"r", 0, SEGMENT, 0)
    value = auxiliary.encode(pl.DataFrame([row], schema=ROSTER_SCHEMA))
    offset = erased.deployment.put(other, key, value)
    return {"partition": other, "offset": offset, "key": key.decode()}


def in_an_archived_segment(erased: Erased) -> dict[str, Any]:
    offset = _archived(erased)
    entry = ManifestEntry(offset, 1, 1, "0" * 32, 1, 1)
    erased.put(keys.manifest_entry(EXPIRED, SEGMENT), entry.to_json())
    parts = {"partition": erased.shard, "offset": offset, "segment": SEGMENT}
    return parts | {"topic": erased.deployment.topics.archive, "source": EXPIRED}


def in_a_former_copy(erased: Erased) -> dict[str, Any]:
    """An archived record that counts no more, and that nothing deletes."""
    return {"topic": erased.deployment.topics.archive, "offset": _archived(erased)}


def _archived(erased: Erased) -> int:
    data = segments.encode(rows(EXPIRED))
    index = build(SEGMENT, 0, rows(EXPIRED), data)
    record = archive.append(erased.deployment.settings, erased.shard, index, data, 1)
    kept = erased.deployment.partition("archive", erased.shard)
    return kept.append(record.key, record.value, record.headers)


def in_the_audit(erased: Erased) -> dict[str, Any]:
    record = {"event_id": "1", "time": THEN, "decision": "hold", "reason": f"for {GHOST}, please"}
    value = codec.encode("audit", record)
    offset = erased.deployment.partition("lifecycle.audit").append(b"campaign:a", value)
    return {"topic": erased.deployment.topics.audit, "offset": offset, "key": "campaign:a"}


def in_a_result(erased: Erased) -> dict[str, Any]:
    record = {"event_id": "1", "request_id": "r", "outcome": "refused", "time": THEN}
    value = codec.encode("result", record | {"message": f"unknown: {GHOST}"})
    offset = erased.deployment.partition("control.results").append(b"r", value)
    return {"topic": erased.deployment.topics.control_results, "offset": offset}


def in_a_request(erased: Erased) -> dict[str, Any]:
    """The key names the user: the finding does not."""
    value = json.dumps({"sources": [f"campaign:{GHOST}"]}).encode()
    offset = erased.deployment.partition("coordinator").append(f"y/{GHOST}".encode(), value)
    offset = erased.deployment.partition("coordinator").append(GHOST.encode(), value)
    return {"topic": erased.deployment.topics.coordinator, "offset": offset, "key": None}


def in_a_notice(erased: Erased) -> dict[str, Any]:
    value = json.dumps({"data": {"lines": [GHOST]}}).encode()
    offset = erased.deployment.partition("notifications").append(b"n/1", value)
    return {"topic": erased.deployment.topics.notifications, "offset": offset, "key": "n/1"}


def in_the_index_by_user(erased: Erased) -> dict[str, Any]:
    folder = erased.deployment.settings.data_dir / f"users-{erased.shard}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    store = UserStore(folder, shared_cache(1 << 20), "whatever")
    number = store.new_number()
    packed = block.pack(rows())
    store.write(add=Run(number, 1, tuple(write_blocks(store, number, 0, packed))))
    store.cleaned(1)
    store.close()
    return {"partition": erased.shard, "key": f"{folder}, run {number}"}


CASES: list[tuple[Callable[[Erased], dict[str, Any]], Kind]] = [
    (in_a_delta, Kind.ERASED_ROWS),
    (in_a_segment, Kind.ERASED_ROWS),
    (in_the_counts, Kind.ERASED_ROWS),
    (in_the_roster, Kind.ERASED_ROWS),
    (in_a_delta_of_the_roster, Kind.ERASED_ROWS),
    (in_the_external_ids, Kind.ERASED_ROWS),
    (in_another_users_record, Kind.ERASED_MERGED),
    (in_an_archived_segment, Kind.ERASED_ROWS),
    (in_a_former_copy, Kind.ERASED_ROWS),
    (in_the_audit, Kind.ERASED_NAMED),
    (in_a_result, Kind.ERASED_NAMED),
    (in_a_request, Kind.ERASED_NAMED),
    (in_a_notice, Kind.ERASED_NAMED),
    (in_the_index_by_user, Kind.ERASED_INDEXED),
]


@pytest.mark.parametrize(("plant", "kind"), CASES, ids=lambda one: getattr(one, "__name__", None))
def test_a_trace_is_found_and_named(
    erased: Erased, plant: Callable[[Erased], dict[str, Any]], kind: Kind
) -> None:
    erased.erase()
    parts = plant(erased)
    (finding,) = erased.traces(erased.found())
    assert (finding.kind, names(finding, parts)) == (kind, True), finding
    assert GHOST not in f"{finding}", "a report does not tell whom it is about"
    digest = erased.key.digest(GHOST).hex()
    assert digest in finding.what or kind is Kind.ERASED_INDEXED


@pytest.mark.parametrize("plant", [plant for plant, _ in CASES[:8]])
def test_one_users_traces_are_found_without_a_mask_too(
    erased: Erased, plant: Callable[[Erased], dict[str, Any]]
) -> None:
    plant(erased)
    environment = Environment(erased.deployment.settings, erased.deployment.log, ManualClock(THEN))
    assert asyncio.run(user_traces(environment, GHOST)).rows.total() == 1


def test_what_an_erasure_is_still_removing_is_no_damage(erased: Erased) -> None:
    """Hot data, an archived segment that has not passed the mask, and a dead copy."""
    dead = _archived(erased)
    erased.erase(hot=0, dead=dead + 1)
    erased.put(*ErasureWork(1, 1).put("r-1"))
    in_a_delta(erased)
    live = in_an_archived_segment(erased)
    entry = ManifestEntry(live["offset"], 1, 1, "0" * 32, 1, 0)
    erased.put(keys.manifest_entry(EXPIRED, SEGMENT), entry.to_json())
    report = erased.found()
    assert erased.traces(report) == []
    assert report.figures["erased_under_way"] == 3
    # the request is over: what is left now, stays
    erased.put(keys.erasure("r-1"), None)
    assert len(erased.traces(erased.found())) == 3


def test_a_segment_that_was_restored_for_a_hold_is_no_damage_while_the_request_is_open(
    erased: Erased,
) -> None:
    """Hot data was clean when the user was erased; the hold keeps what came back since."""
    erased.erase(hot=1)
    erased.put(*ErasureWork(1, 1).put("r-1"))
    in_a_segment(erased)
    entry = ManifestEntry(_archived(erased), 1, 1, "0" * 32, 1, 0)
    erased.put(keys.manifest_entry(HOT, SEGMENT), entry.to_json())
    report = erased.found()
    assert erased.traces(report) == []
    assert report.figures["erased_under_way"] == 2
    erased.put(keys.erasure("r-1"), None)
    assert len(erased.traces(erased.found())) == 2


def test_rows_from_after_a_return_are_none_of_an_erased_user(erased: Erased) -> None:
    erased.erase(returned=THEN + 5_000)
    erased.put(keys.delta(999, 0), delta.encode(rows(time=THEN + 6_000)))
    in_another_users_record(erased)
    assert erased.traces(erased.found()) == []
    in_a_delta(erased)
    assert [one.kind for one in erased.traces(erased.found())] == [Kind.ERASED_ROWS]


def test_former_values_of_the_changelog_are_counted(erased: Erased) -> None:
    erased.erase()
    erased.put(keys.delta(999, 0), delta.encode(rows()))
    erased.put(keys.delta(999, 0), None)
    report = erased.found()
    assert erased.traces(report) == []
    assert report.figures["erased_uncompacted"] == 1


def test_without_the_key_absence_is_not_checked(erased: Erased) -> None:
    erased.erase()
    in_a_delta(erased)
    erased.deployment.settings.erasure_key_file.unlink()
    report = erased.found()
    assert erased.traces(report) == []
    assert "nothing is stored of 1 erased user: the key" in report.unchecked[0]


def test_a_text_names_a_user_by_a_word() -> None:
    assert {"a b", "a", "b"} <= words_of(["a b"])
    assert {"(x-1),", "x-1", "r", "campaign:x"} <= words_of(["(x-1),", "r\x1fcampaign:x"])
    assert "x" not in words_of(["x-1"])
