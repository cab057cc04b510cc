"""Currents: each event type gives the record that its fields say, and each other type a reason."""

import random
from pathlib import Path
from typing import Any

import pytest

from agents.tools.feed.apply import Mapper
from agents.tools.feed.currents import TYPES, known_type, read_types
from agents.tools.feed.currents_files import CurrentsFiles, type_of_file
from agents.tools.feed.opening import opened
from agents.tools.import_files import Batch, TypeCount
from agents.tools.import_journal import ImportPosition
from agents.tools.records import plain_ids
from schemas.errors import Fatal, UsageError
from schemas.mapping.field_types import field_types
from schemas.mapping.frames import frame_of
from schemas.mapping.rule import From, Rule
from schemas.records import codec
from streams.clock import SystemClock
from tests.rigs.currents import FIELDS, container, event, schema_of

NOW = 1_772_000_000_000
BEGINNING = ImportPosition()


def files() -> CurrentsFiles:
    return CurrentsFiles(plain_ids, 512, SystemClock())


def read(file: Path, start: ImportPosition = BEGINNING) -> list[Batch]:
    with opened(file) as content:
        return list(files().batches(content, start))


def values(batches: list[Batch], kind: str) -> list[Any]:
    return [codec.decode(v or b"", kind) for b in batches for c in b.chunks for v in c.values]


def expected(name: str, one: dict[str, Any]) -> dict[str, Any] | None:
    """What the contract says of an event, field by field; None if it says nothing."""
    rule = TYPES[name]
    assert isinstance(rule, Rule)
    made: dict[str, Any] = {}
    for field, value in rule.fields.items():
        if not isinstance(value, From):
            made[field] = value
            continue
        found = one.get(value.rather) or one.get(value.column)
        made[field] = None if found in value.absent else found
        if field == "time":
            made[field] *= 1000
        elif value.behind and made[field] and one[value.behind]:
            made[field] += f":{one[value.behind]}"
        elif isinstance(made[field], str) and field == "machine_open":
            made[field] = made[field] == "true"
    return None if any(made[name] is None for name in rule.skip_without) else made


@pytest.mark.parametrize("name", sorted(read_types()))
def test_events_of_every_type_that_is_read_become_records(name: str, tmp_path: Path) -> None:
    chance = random.Random(name)
    events = [event(name, chance) for _ in range(100)]
    file = container(tmp_path / f"{name}.avro", name, events)
    batches = read(file)
    rule = read_types()[name]
    wanted = [made for one in events if (made := expected(name, one)) is not None]
    found = values(batches, rule.kind)
    fields = [field for field in field_types(rule.kind) if field in rule.fields]
    assert [{f: one[f] for f in fields} for one in found] == wanted
    assert [bad for batch in batches for bad in batch.bad] == []
    total = TypeCount()
    for batch in batches:
        total.add(batch.tallies[name])
    assert total.sent == len(wanted)
    assert total.sent + sum(total.skipped.values()) == len(events)


def test_every_rule_reads_published_fields_and_fills_fields_of_its_record() -> None:
    assert set(FIELDS) == set(read_types())
    for name, rule in read_types().items():
        published = {field["name"] for field in schema_of(name)["fields"]}
        optional = {v.rather for v in rule.fields.values() if isinstance(v, From)}
        # a type has a campaign or a Canvas, and the newest channels have no names of variations
        optional |= {
            c for c in Mapper(rule, 512).columns if c.startswith(("campaign", "canvas", "message"))
        }
        assert Mapper(rule, 512).columns - optional <= published, name
        assert set(rule.fields) <= set(field_types(rule.kind)), name
        assert {"user_id"} <= set(rule.fields), name


def test_every_other_type_says_why() -> None:
    assert all(isinstance(rule, Rule) or len(rule) > 10 for rule in TYPES.values())


def test_a_type_that_is_not_read_is_counted_without_being_decoded(tmp_path: Path) -> None:
    name = "users.messages.email.Delivery"
    chance = random.Random(1)
    events = [event(name, chance) for _ in range(300)]
    (batch,) = read(container(tmp_path / "a.avro", name, events, sync_interval=5_000))
    assert batch.chunks == []
    assert batch.tallies == {name: TypeCount(skipped={str(TYPES[name]): 300})}


@pytest.mark.parametrize("codec_name", ["null", "deflate", "snappy", "bzip2", "xz"])
def test_a_file_continues_after_any_block(
    tmp_path: Path, codec_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.feed.currents_files.BATCH_BYTES", 20_000)
    name = "users.messages.email.Click"
    chance = random.Random(2)
    events = [event(name, chance) for _ in range(1_000)]
    file = container(tmp_path / "a", name, events, codec=codec_name, sync_interval=5_000)
    every = read(file)
    assert len(every) > 10
    for at in (0, 3, len(every) - 1):
        again = read(file, every[at].reached)
        assert [b.chunks for b in again] == [b.chunks for b in every[at + 1 :]]
        assert [b.reached for b in again] == [b.reached for b in every[at + 1 :]]


def test_what_polars_cannot_read_is_read_all_the_same(tmp_path: Path) -> None:
    import fastavro

    name = "users.messages.sms.Send"
    schema = schema_of(name)
    schema["fields"].append({"name": "extras", "type": {"type": "map", "values": "string"}})
    chance = random.Random(3)
    events = [event(name, chance) | {"extras": {"a": "b"}} for _ in range(50)]
    with (tmp_path / "a.avro").open("wb") as out:
        fastavro.writer(out, schema, events)
    found = values(read(tmp_path / "a.avro"), "send")
    assert [one["id"] for one in found] == [one["id"] for one in events]


def test_bad_events_are_named_and_the_others_are_sent(tmp_path: Path) -> None:
    name = "users.messages.email.Open"
    chance = random.Random(4)
    events = [event(name, chance) for _ in range(6)]
    events[1]["machine_open"] = "perhaps"
    events[2]["time"] = 5
    events[3] |= {"campaign_id": "a", "canvas_id": "b"}
    events[4]["external_user_id"] = "x" * 513
    file = container(tmp_path / "a.avro", name, events)
    (batch,) = read(file)
    assert [one.where for one in batch.bad] == [f"{file}:{n}" for n in (2, 3, 4, 5)]
    whys = [one.why for one in batch.bad]
    assert whys[0] == "column machine_open: 'perhaps' is no true or false"
    assert [why.partition(":")[0] for why in whys[1:]] == ["bad_time", "two_sources", "too_long"]
    assert [one["id"] for one in values([batch], "open")] == [events[0]["id"], events[5]["id"]]


def test_a_long_url_makes_no_event_bad(tmp_path: Path) -> None:
    name = "users.messages.sms.ShortLinkClick"
    one = event(name, random.Random(5), url="https://example.org/" + "x" * 2_000)
    (batch,) = read(container(tmp_path / "a.avro", name, [one]))
    assert batch.bad == []
    assert values([batch], "click")[0]["url"] == one["url"]


def test_the_exit_of_a_canvas_has_the_id_that_its_other_events_have(tmp_path: Path) -> None:
    name = "users.canvas.exit.PerformedEvent"
    one = event(name, random.Random(6), canvas_id="internal", canvas_api_id="c")
    other = event(name, random.Random(7), canvas_id="c", canvas_api_id=None)
    found = values(read(container(tmp_path / "a.avro", name, [one, other])), "variant")
    assert [(one["canvas_id"], one["exited"]) for one in found] == [("c", True)] * 2


def test_milliseconds_are_taken_as_they_are() -> None:
    name = "users.messages.sms.Send"
    one = event(name, random.Random(8), time=1_769_817_600_123)
    rule = read_types()[name]
    mapped = Mapper(rule, 512).apply(frame_of([one], sorted(one)), NOW)
    assert mapped.rows["time"].to_list() == [1_769_817_600_123]


def test_the_type_comes_from_the_schema_or_the_folders_or_the_name() -> None:
    open_ = "users.messages.email.Open"
    folder = Path(f"x/event_type={open_}/date=2026-01-31-00/a.avro")
    assert type_of_file(Path("x.avro"), schema_of(open_)) == open_
    assert type_of_file(folder, {"name": "record"}) == open_
    assert type_of_file(Path(f"{open_}.avro.gz"), "string") == open_
    assert known_type("USERS.messages.EMAIL.open") == open_
    new = schema_of("users.messages.telegram.Send")
    assert type_of_file(Path("x.avro"), new) == "users.messages.telegram.Send"
    with pytest.raises(UsageError, match="does not say which Currents event"):
        type_of_file(Path("x.avro"), {"name": "Open"})


def test_a_type_that_is_new_is_counted(tmp_path: Path) -> None:
    name = "users.messages.telegram.Send"
    file = container(tmp_path / "a.avro", name, [event(name, random.Random(9))])
    (batch,) = read(file)
    assert list(batch.tallies[name].skipped.values()) == [1]


@pytest.mark.parametrize("at", [0.3, 0.6, 0.95])
def test_a_damaged_file_is_named_and_what_lies_before_is_kept(
    tmp_path: Path, at: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.feed.currents_files.BATCH_BYTES", 5_000)
    name = "users.messages.email.Send"
    chance = random.Random(10)
    events = [event(name, chance) for _ in range(300)]
    file = container(tmp_path / "a.avro", name, events, sync_interval=5_000)
    data = bytearray(file.read_bytes())
    middle = int(len(data) * at)
    data[middle : middle + 400] = b"\xff" * 400
    file.write_bytes(data)
    found: list[Batch] = []
    with opened(file) as content, pytest.raises(Fatal, match="no complete Avro container file"):
        found.extend(files().batches(content, ImportPosition()))
    kept = [one["id"] for one in values(found, "send")]
    assert kept == [one["id"] for one in events[: len(kept)]]


def test_what_is_no_avro_file_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "a.avro").write_text("{}")
    with pytest.raises(UsageError, match="no Avro container file"):
        read(tmp_path / "a.avro")
