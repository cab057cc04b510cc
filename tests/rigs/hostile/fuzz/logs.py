"""Readers of our own topics, in which another program may have written: changelog, archive, the
coordinator's log and the notifier's.
"""

import json
from contextlib import suppress
from dataclasses import asdict, replace

import polars as pl
from hypothesis import strategies as st

from agents.coordinator import log as coordinator_log
from agents.coordinator.rules import ledger
from agents.coordinator.rules.quarantine import Quarantined
from agents.coordinator.rules.state import (
    Request,
    RequestResult,
    Source,
    Totals,
    Why,
    Work,
    WorkOrigin,
    WorkProgress,
)
from agents.coordinator.rules.sweep_state import RetentionSweep
from agents.notify import outbox_log
from agents.notify.outbox import Channel, Delivery, Notice, NoticeKind, Outbox
from schemas.records.lifecycle import Definition, Exemption, Hold, Outcome, State
from schemas.segment.index import build
from schemas.tables import delta, repeats
from streams.state import auxiliary_table, foreign_entries, keys, pieces
from streams.state.archive_check import ArchivedSegment, WantedSegments
from streams.state.hot_table import Applied, ChangelogOrigin, HotTable, ManifestEntry
from tests.rigs.hostile.fuzz.damage import broken_json, damaged
from tests.rigs.hostile.fuzz.frames import FRAMES, SEGMENTS, marked
from tests.rigs.hostile.fuzz.target import Target
from tests.rigs.record_batches import Produced, batch

__all__ = ["TARGETS"]

_ID = "0" * 24
_INDEX = build(_ID, 0, FRAMES[0], SEGMENTS[0])
_ENTRY = ManifestEntry(3, 3, len(SEGMENTS[0]), _INDEX.checksum, 1)
_CURSOR = {"offsets": {"t": 5}, "sequence": 2, "topics": {"t": "id"}}
_JSON_ENTRIES = {
    keys.ORIGIN: ChangelogOrigin("i", 4, 2).to_json(),
    keys.CURSOR: json.dumps(_CURSOR).encode(),
    keys.index(_ID): _INDEX.to_json(),
    keys.manifest_entry("campaign:a", _ID): _ENTRY.to_json(),
    keys.applied("campaign:a"): Applied(1, "EXPIRED").to_json(),
}
_HASHES = repeats.pack(pl.Series("h", [1, 2, 3], dtype=pl.UInt64))
_BYTE_ENTRIES = {
    keys.delta(1, 0): delta.encode(FRAMES[0]),
    keys.delta(1, 0, b"e"): delta.encode(pl.DataFrame(schema=auxiliary_table.COUNTS.schema)),
    keys.delta(1, 0, b"h"): _HASHES,
    keys.run(b"a", 0, _ID, 0): auxiliary_table.encode(FRAMES[0]),
}
_OTHER_ENTRIES = {
    keys.uniques("campaign:a"): pieces.headed(b"x", 3),
    keys.segment(_ID): SEGMENTS[0],
}

_ENTRIES = st.one_of(
    st.sampled_from(sorted(_JSON_ENTRIES)).flatmap(
        lambda key: st.tuples(damaged([key], 1), broken_json([json.loads(_JSON_ENTRIES[key])]))
    ),
    st.sampled_from(sorted(_BYTE_ENTRIES)).flatmap(
        lambda key: st.tuples(damaged([key], 1), marked([_BYTE_ENTRIES[key]]))
    ),
    st.sampled_from(sorted(_OTHER_ENTRIES)).flatmap(
        lambda key: st.tuples(damaged([key], 1), damaged([_OTHER_ENTRIES[key]]))
    ),
)


def _entry(made: tuple[bytes, bytes]) -> None:
    """What is not refused can be applied, over a good table, and taken away again."""
    key, value = made
    if foreign_entries.fault(key, value) is not None:
        return
    table = HotTable()
    table.apply({**_JSON_ENTRIES, keys.delta(1, 0): _BYTE_ENTRIES[keys.delta(1, 0)]}.items())
    table.apply([(key, value)])
    table.fold_auxiliary()
    table.cursor_put(table.cursor)
    table.layout()
    table.sources_in_deltas()
    table.rows_in_segments("campaign:a")
    table.segments_of("campaign:a")
    if foreign_entries.fault(key, None) is None:
        table.apply([(key, None)])


_GOOD_HEADERS = (
    ("segment", _ID.encode()),
    ("checksum", _INDEX.checksum.encode()),
    ("index", _INDEX.to_json()),
)
_ARCHIVED = st.tuples(
    st.one_of(st.just(SEGMENTS[0]), st.just(SEGMENTS[0]), damaged(SEGMENTS)),
    st.one_of(st.just(_GOOD_HEADERS[2][1]), broken_json([json.loads(_INDEX.to_json())]), st.none()),
    st.sampled_from((True, True, False)),
)


def _archived(made: tuple[bytes, bytes | None, bool]) -> None:
    """The segment that the manifest names, or an error with its place."""
    data, index, with_index = made
    headers = [*_GOOD_HEADERS[:2], *([("index", index)] if with_index else [])]
    produced = Produced(data, b"campaign:a", headers=headers)
    wanted = WantedSegments(("t", 0), {_ID: _ENTRY}, {})
    (found,) = wanted.of_batch(batch([produced], topic="t", base_offset=3))
    assert found.segment == _ID
    if isinstance(found, ArchivedSegment):
        assert found.index.checksum == _INDEX.checksum
        assert replace(found.index) == found.index
        assert found.data == data
    else:
        assert found.place == "t[0]@3"


_ORIGIN = WorkOrigin(Why.OPERATOR, 1, "op", "r1", "key:op")
_SOURCE = Source(
    "campaign:a",
    state=State.EXPIRING,
    version=3,
    tags=("t",),
    status="STOPPED",
    due_at=5,
    exempt_by=(Exemption("canvas:b", ("segment:s",), "received_from_campaign"),),
    held=Hold("op", "why", 1),
    archived=Totals(5, bytes=7, segments=1, checksum="0" * 32),
    noticed=("30",),
    work=Work(_ORIGIN, 1, 2, reported=frozenset({0, 3}), stuck=(1,), then_restore=_ORIGIN),
)
_DEFINITION = Definition.from_record(
    {
        "key": "campaign:a",
        "name": "A",
        "status": "ACTIVE",
        "filters": '{"filter": "received_from_campaign", "campaign": "b"}',
    }
)
_RESULT = RequestResult(Outcome.REFUSED, "unknown_source", "m", 1, 2, 3)
_REQUEST = Request("r1", "restore", 1, whole=_RESULT, untold_codes=(("a", 1),), notify=("a@b.c",))
_VALUES = {
    "s/campaign:a": _SOURCE,
    "k/campaign:a": _DEFINITION,
    "a/campaign:a": Quarantined("d", ("w",), ("k",), True),
    "r/r1": _REQUEST,
    "t/r1\x1fcampaign:a": _RESULT,
    "p/campaign:a": WorkProgress(1, 2, 3, 4, 5, 6, 7),
    "w": RetentionSweep(1, awaiting=2, question="q", approved_to=(5, "campaign:a")),
    "c": {"t": 5},
}
_LOG = {key: json.loads(ledger._dumped(value)) for key, value in _VALUES.items()}
assert not any(coordinator_log._fault(key, json.dumps(one).encode()) for key, one in _LOG.items())
_LINES = st.sampled_from(sorted(_LOG)).flatmap(
    lambda key: st.tuples(st.just(key), broken_json([_LOG[key]]))
)


def _line(made: tuple[str, bytes]) -> None:
    """A record of the coordinator's log: what is readable loads."""
    key, value = made
    if coordinator_log._fault(key, value) is None and key != "c":
        ledger.load([(key, value)], segments_are_roots=True)


_DELIVERY = Delivery("1", "1", NoticeKind.TEST, Channel.MAIL, "a@b.c", "en", 1, 2)
_OUTBOX = {
    "n/1": asdict(Notice("1", NoticeKind.TEST, 1, {"source": "campaign:a"})),
    "d/1": asdict(_DELIVERY),
    "g/work.stuck/campaign:a": {"source": "campaign:a"},
    "l/work.stuck": {"since": 1, "told_at": 1},
    "k/campaign:a": 3,
    "w/q": "question",
    "c": {"offsets": {"t": 1}, "topic-ids": {"t": "x"}},
}


def _outbox(made: tuple[str, bytes]) -> None:
    key, value = made
    found = outbox_log.FoundOutbox(Outbox("f-"))
    with suppress(ValueError):
        outbox_log.apply(found, key, value)


TARGETS = {
    "changelog-entries": Target(_ENTRIES, _entry, 120),
    "archive-records": Target(_ARCHIVED, _archived),
    "coordinator-log": Target(_LINES, _line),
    "notifier-log": Target(
        st.sampled_from(sorted(_OUTBOX)).flatmap(
            lambda key: st.tuples(st.just(key), broken_json([_OUTBOX[key]]))
        ),
        _outbox,
    ),
}
