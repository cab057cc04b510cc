"""Importing files: every record arrives, bad ones are named, an interrupted import continues."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from agents.tools.demo.generator import generate
from agents.tools.import_files import Batch, RecordFiles, batches
from agents.tools.import_journal import ImportPosition, Journal
from agents.tools.importer import ImportOptions, ImportProgress, import_files
from agents.tools.inspection import Inspection
from agents.tools.oracle import Interactions, expect
from agents.tools.records import Kind, kind_of_record, refuse_unknown_fields
from schemas.errors import Fatal, UsageError
from schemas.records import codec
from schemas.records.misspelt import MisspellingCounts
from schemas.records.registry import raw
from streams.kafka import topics as topic_admin
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader
from streams.kafka.topics import Topics
from streams.settings import Settings

EVENTS = [
    (chunk.event, record)
    for chunk in generate(5, 3_000).chunks()
    if not chunk.rejected
    for record in chunk.records()
]


def lines(path: Path, events: list[tuple[str, dict[str, Any]]]) -> Path:
    path.write_text("".join(json.dumps({"type": n} | r) + "\n" for n, r in events))
    return path


def container(path: Path, name: str, records: list[dict[str, Any]], **options: Any) -> Path:
    with path.open("wb") as out:
        fastavro.writer(out, raw(name), records, **options)
    return path


def own(settings: Settings, kind: Kind | None = None) -> RecordFiles:
    return RecordFiles(kind, Inspection(settings))


async def produced(settings: Settings) -> Interactions:
    topics = Topics(settings.prefix)
    names = {topic: event for event, topic in topics.events.items()}
    async with TopicReader.open(KafkaLog(settings), names) as reader:
        records = await reader.rest()
    return expect((names[t], codec.decode(r.value or b"")) for t, _, r in records)


@pytest.mark.connected
async def test_both_formats_give_what_the_events_say(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    sends = [record for name, record in EVENTS if name == "send"]
    rest = [event for event in EVENTS if event[0] != "send"]
    files = [lines(tmp_path / "a.jsonl", rest), container(tmp_path / "b.avro", "send", sends)]
    seen: list[ImportProgress] = []
    done = await import_files(settings, files, own(settings), progress=seen.append)
    assert (done.records, done.bad, done.files) == (len(EVENTS), 0, 2)
    assert seen[-1].done_bytes == seen[-1].total_bytes
    assert await produced(settings) == expect(EVENTS)
    async with TopicReader.open(KafkaLog(settings), [topics.control]) as reader:
        told = [codec.decode(r.value or b"", "command") for _, _, r in await reader.rest()]
    assert {one["type"] for one in told} == {"imported"}
    named = [source for one in told for source in one["sources"]]  # type: ignore[attr-defined]
    keys = {
        f"{kind}:{record[f'{kind}_id']}"
        for _, record in EVENTS
        for kind in ("campaign", "canvas")
        if record.get(f"{kind}_id")
    }
    assert sorted(named) == sorted(keys)


@pytest.mark.connected
async def test_a_second_run_sends_nothing_unless_told(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    file = lines(tmp_path / "a.jsonl", EVENTS[:50])
    assert (await import_files(settings, [file], own(settings))).records == 50
    again = await import_files(settings, [file], own(settings))
    assert (again.records, again.already) == (0, 1)
    assert (
        await import_files(settings, [file], own(settings), options=ImportOptions(again=True))
    ).records == 50


@pytest.mark.connected
async def test_bad_records_are_named_and_the_rest_arrives(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    file = lines(tmp_path / "a.jsonl", EVENTS[:3])
    with file.open("a") as out:
        out.write('{"type": "send", "id": "x"}\n{"id": "x"}\nnonsense\n{"type": "sned"}\n')
        out.write('{"type":"user","user_id":"u1"}\n')
        out.write('{"type":"definition","key":"campaign:a","status":"ACTIVE"}\n')
    named: list[str] = []
    done = await import_files(settings, [file], own(settings), bad=lambda b: named.append(b.where))
    assert (done.records, done.bad) == (5, 4)
    assert named == [f"{file}:{line}" for line in (4, 5, 6, 7)]
    async with TopicReader.open(KafkaLog(settings), [topics.users, topics.catalog]) as reader:
        assert {r.key for _, _, r in await reader.rest()} == {b"u1", b"campaign:a"}


@pytest.mark.parametrize("kind", ["jsonl", "avro"])
def test_a_file_continues_after_its_acknowledged_part(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.import_files.BATCH_BYTES", 5_000)
    sends = [record for name, record in EVENTS if name == "send"]
    file = (
        container(tmp_path / "a.avro", "send", sends, sync_interval=5_000)
        if kind == "avro"
        else lines(tmp_path / "a.jsonl", [("send", record) for record in sends])
    )
    every = list(batches(file, None, ImportPosition()))
    assert len(every) > 10
    assert every[-1].read == file.stat().st_size
    values = [v for batch in every for chunk in batch.chunks for v in chunk.values]
    assert values == [codec.encode("send", record) for record in sends]
    for at in (0, 3, len(every) - 1):
        rest = list(batches(file, None, every[at].reached))
        assert rest == every[at + 1 :]


def test_a_changed_file_begins_again(tmp_path: Path) -> None:
    file, path = tmp_path / "a.jsonl", tmp_path / "data" / "import.json"
    file.write_text("one")
    Journal(path, "here").save({file: ImportPosition(3, 1, done=True)})
    assert Journal(path, "here").reached(file) == ImportPosition(3, 1, done=True)
    assert Journal(path, "there").reached(file) == ImportPosition()
    file.write_text("other")
    assert Journal(path, "here").reached(file) == ImportPosition()
    path.write_text("{")
    with pytest.raises(Fatal, match="cannot be read"):
        Journal(path, "here")


@pytest.mark.connected
async def test_another_prefix_or_event_is_another_import(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    file = lines(tmp_path / "a.jsonl", EVENTS[:50])
    other = replace(settings, prefix=f"{settings.prefix}other.")
    await topic_admin.create(other)
    send = kind_of_record("send")
    for target, kind in ((settings, None), (other, None), (settings, send)):
        first = await import_files(target, [file], own(target, kind))
        assert (first.records + first.bad, first.already) == (50, 0)
        second = await import_files(target, [file], own(target, kind))
        assert (second.records, second.bad, second.already) == (0, 0, 1)


def test_blank_lines_are_no_records_but_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.import_files.BATCH_BYTES", 1)
    file = tmp_path / "a.jsonl"
    user = '{"type":"user","user_id":"u"}'
    file.write_text(f"\n{user}\n \t\r\n\nnonsense\n{user}\n\n")
    every = list(batches(file, None, ImportPosition()))
    assert [bad.where for batch in every for bad in batch.bad] == [f"{file}:5"]
    assert (every[-1].reached.records, every[-1].reached.bad) == (3, 1)
    for at, batch in enumerate(every):
        assert list(batches(file, None, batch.reached)) == every[at + 1 :]


def test_times_of_other_writers_become_milliseconds(tmp_path: Path) -> None:
    writer = {
        "type": "record", "name": "Send", "fields": [
            {"name": "id", "type": "string"}, {"name": "user_id", "type": "string"},
            {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "more", "type": "string"},
        ],
    }  # fmt: skip
    time = datetime(2026, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    with (tmp_path / "a.avro").open("wb") as out:
        fastavro.writer(out, writer, [{"id": "1", "user_id": "u", "time": time, "more": "x"}])
    (batch,) = batches(tmp_path / "a.avro", None, ImportPosition())
    (value,) = batch.chunks[0].values
    assert codec.decode(value or b"")["time"] == 1_777_636_800_123


def test_a_cut_container_is_named(tmp_path: Path) -> None:
    sends = [record for name, record in EVENTS if name == "send"]
    file = container(tmp_path / "a.avro", "send", sends)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Fatal, match="no complete Avro"):
        list(batches(file, None, ImportPosition()))


def damaged(path: Path, codec: str) -> Path:
    """A container of several blocks whose last but one block is overwritten."""
    sends = [record for name, record in EVENTS if name == "send"]
    file = container(path, "send", sends, codec=codec, sync_interval=5_000)
    with file.open("rb") as opened:
        block = list(fastavro.block_reader(opened))[-2]
    data = bytearray(file.read_bytes())
    data[block.offset + 10 : block.offset + block.size - 20] = b"\xff" * (block.size - 30)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_a_corrupt_block_is_named(tmp_path: Path, codec: str) -> None:
    file = damaged(tmp_path / "a.avro", codec)
    found: list[Batch] = []
    with pytest.raises(Fatal) as told:
        found.extend(batches(file, None, ImportPosition()))
    assert len(found) > 1
    place = f"{file}, block {len(found) + 1}, before byte "
    assert str(told.value).startswith(place)
    assert "no complete Avro" in str(told.value)
    assert "Write it anew" in str(told.value)


def test_a_container_without_a_readable_schema_is_named(tmp_path: Path) -> None:
    file = container(tmp_path / "a.avro", "send", [])
    file.write_bytes(file.read_bytes().replace(b'"symbols"', b'"simbols"'))
    with pytest.raises(Fatal, match="no complete Avro"):
        list(batches(file, None, ImportPosition()))


@pytest.mark.connected
async def test_what_lies_before_the_damage_is_in_and_not_sent_again(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    file = damaged(tmp_path / "a.avro", "deflate")
    counts = []
    for _ in range(2):
        seen: list[ImportProgress] = []
        with pytest.raises(Fatal, match="no complete Avro"):
            await import_files(settings, [file], own(settings), progress=seen.append)
        counts.append(seen[-1].records if seen else 0)
        async with TopicReader.open(KafkaLog(settings), [topics.event("send")]) as reader:
            assert len(await reader.rest()) == counts[0] > 0
    assert counts[1] == 0


@pytest.mark.parametrize("unit", ["millis", "micros", "nanos"])
def test_a_time_that_no_calendar_has_is_one_bad_record(tmp_path: Path, unit: str) -> None:
    time_type = {"type": "long", "logicalType": f"timestamp-{unit}"}
    writer = {
        "type": "record", "name": "Send", "fields": [
            {"name": "id", "type": "string"}, {"name": "user_id", "type": "string"},
            {"name": "time", "type": ["null", time_type]},
        ],
    }  # fmt: skip
    last = 2**62 if unit == "millis" else 2**63 - 1
    per = {"millis": 1, "micros": 1_000, "nanos": 1_000_000}[unit]
    times = [1_777_636_800_123 * per, last, -last, 1_777_636_800_124 * per]
    records = [{"id": "1", "user_id": "u", "time": time} for time in times]
    file = tmp_path / "a.avro"
    with file.open("wb") as out:
        fastavro.writer(out, writer, records)
    (batch,) = batches(file, None, ImportPosition())
    # 64 bits of nanoseconds reach to the year 2262: all of them are times
    assert [bad.where for bad in batch.bad] == (
        [] if unit == "nanos" else [f"{file}:2", f"{file}:3"]
    )
    values = [codec.decode(value or b"")["time"] for value in batch.chunks[0].values]
    assert values[:: len(values) - 1] == [1_777_636_800_123, 1_777_636_800_124]


async def test_a_missing_file_is_wrong_use(settings_offline: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        await import_files(settings_offline, [tmp_path / "none"], RecordFiles(None))


@pytest.fixture
def settings_offline(tmp_path: Path) -> Settings:
    return Settings(bootstrap_servers="127.0.0.1:1", data_dir=tmp_path)


def test_misspelled_words_are_answered_with_the_near_one() -> None:
    with pytest.raises(UsageError, match="Did you mean send"):
        kind_of_record("sned")
    with pytest.raises(UsageError, match="Did you mean user_id"):
        refuse_unknown_fields(kind_of_record("send"), {"userid": "x"})


def test_records_of_avro_files_are_looked_at_as_json_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = MisspellingCounts()
    monkeypatch.setattr("schemas.records.misspelt.MISSPELT", tally)
    fields: list[Any] = [{"name": name, "type": "string"} for name in ("id", "user_id", "chanel")]
    channel = {"type": "enum", "name": "Via", "symbols": ["sms", "Email"]}
    fields += [{"name": "time", "type": "long"}, {"name": "channel", "type": ["null", channel]}]
    event = {"id": "1", "user_id": "u", "chanel": "x", "time": 1_777_636_800_123}
    with (tmp_path / "a.avro").open("wb") as out:
        writer = {"type": "record", "name": "Send", "fields": fields}
        events = [event | {"channel": via} for via in ("sms", "Email", None)]
        fastavro.writer(out, writer, events)
    (batch,) = batches(tmp_path / "a.avro", None, ImportPosition())
    found = [codec.decode(value or b"")["channel"] for value in batch.chunks[0].values]
    assert found == ["SMS", "EMAIL"]
    assert len(batch.bad) == 1
    assert [(one.written, one.count) for one in tally.found()] == [("chanel", 1)]
    definition = {
        "type": "record",
        "name": "Definition",
        "fields": [
            {"name": name, "type": "string"} for name in ("key", "status", "stopedAt", "kind")
        ],
    }
    with (tmp_path / "b.avro").open("wb") as out:
        record = {"key": "campaign:a", "status": "STOPPED", "stopedAt": "1", "kind": ""}
        fastavro.writer(out, definition, [record])
    (batch,) = batches(tmp_path / "b.avro", None, ImportPosition())
    assert "did you mean stopped_at" in batch.bad[0].why
