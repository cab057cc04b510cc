"""Records are checked before sending by the code that workers read them with: the same rules and
the same words, and no record is sent that would be rejected.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from agents.tools.import_files import batches
from agents.tools.import_journal import ImportPosition
from agents.tools.inspection import Inspection
from agents.tools.records import kind_of_record
from schemas.decode.batch_pack import packed
from schemas.decode.ingest import ingest
from schemas.records import codec
from streams.clock import ManualClock
from streams.kafka.topics import Topics
from streams.settings import Settings, load

NOW = 1_760_000_000_000
SEND: dict[str, Any] = {"id": "1", "user_id": "u", "time": NOW, "campaign_id": "a"}
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"time": NOW // 1000}, "bad_time"),
    ({"time": NOW + 90_000_000}, "bad_time"),
    ({"user_id": "u" * 513}, "too_long"),
    ({"canvas_id": "b"}, "two_sources"),
    ({"campaign_id": "canvas:b"}, "undecodable"),
    ({"user_id": ""}, "missing_field"),
    ({"id": ""}, "missing_field"),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"prefix": "t-"}, env={}, file=tmp_path / "none")


def inspection(settings: Settings) -> Inspection:
    return Inspection(settings, clock=ManualClock(NOW))


@pytest.mark.parametrize(("change", "code"), FAULTS)
def test_an_event_is_judged_as_ingest_judges_it(
    settings: Settings, change: dict[str, Any], code: str
) -> None:
    records = [(b"u", codec.encode("send", event)) for event in (SEND, SEND | change, SEND)]
    faults = inspection(settings).faults(kind_of_record("send"), records)
    assert list(faults) == [1]
    assert faults[1].startswith(f"{code}: ")
    topics = Topics(settings.prefix)
    taken = ingest([packed(records, topics.event("send"), NOW)], 0, 1, topics.inputs)
    (reject,) = taken.rejects
    assert (reject.offset, reject.code) == (1, code)
    assert reject.detail in faults[1]


def test_users_and_definitions_too(settings: Settings) -> None:
    users: list[dict[str, Any]] = [
        {"user_id": "u"},
        {"user_id": ""},
        {"user_id": "v", "aliases": ["x" * 600]},
    ]
    records = [(user["user_id"].encode(), codec.encode("user", user)) for user in users]
    found = inspection(settings).faults(kind_of_record("user"), records)
    assert [fault.partition(":")[0] for fault in found.values()] == ["missing_field", "too_long"]
    definitions = [
        (key, codec.encode("definition", {"key": written, "status": "ACTIVE"}))
        for key, written in (
            (b"campaign:a", "campaign:a"),
            (b"campaign:b", "campaign:a"),
            (b"spring", "spring"),
        )
    ]
    assert list(inspection(settings).faults(kind_of_record("definition"), definitions)) == [1, 2]


def test_a_filter_that_workers_would_keep_aside_is_a_fault(settings: Settings) -> None:
    """It was sent without an error, and kept sources hot by mistake."""
    filters = (
        ("not json", True),
        ('{"filter": "received_from_campaign", "campain": "x"}', True),
        ('{"AND": []}', True),
        ('{"filter": "received_from_campaign", "campaign": "x"}', False),
        ('{"filter": "lives_in", "country": "AT"}', False),
    )
    definitions = [
        (
            b"canvas:a",
            codec.encode("definition", {"key": "canvas:a", "status": "ACTIVE", "filters": f}),
        )
        for f, _ in filters
    ]
    faults = inspection(settings).faults(kind_of_record("definition"), definitions)
    assert list(faults) == [at for at, (_, bad) in enumerate(filters) if bad]
    assert all(
        "unreadable_filter" in fault and "docs/filters.md" in fault for fault in faults.values()
    )


def test_an_import_sends_none_that_would_be_rejected_and_names_its_line(
    settings: Settings, tmp_path: Path
) -> None:
    events = [SEND, *(SEND | change for change, _ in FAULTS), SEND]
    file = tmp_path / "a.jsonl"
    file.write_text("\n\n".join(json.dumps(event) for event in events))
    (batch,) = batches(file, kind_of_record("send"), ImportPosition(), inspection(settings))
    assert [bad.where for bad in batch.bad] == [f"{file}:{2 * at + 1}" for at in range(1, 8)]
    assert [bad.why.partition(":")[0] for bad in batch.bad] == [code for _, code in FAULTS]
    assert [len(chunk.values) for chunk in batch.chunks] == [2]
    assert (batch.reached.records, batch.reached.bad) == (9, 7)
