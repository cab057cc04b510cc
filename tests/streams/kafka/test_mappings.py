"""The file of mappings is checked before anything is read: place and remedy are in the error."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UsageError
from streams.kafka.mappings import check_mappings, mappings_of
from streams.settings import Settings, load
from tests.rigs.registry_server import serving

SENT = {
    "type": "record",
    "name": "Sent",
    "namespace": "com.acme",
    "fields": [
        {"name": "key", "type": "string"},
        {"name": "uid", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "via", "type": {"type": "enum", "name": "Via", "symbols": ["EMAIL", "FAX"]}},
        {"name": "who", "type": {"type": "record", "name": "Who", "fields": [
            {"name": "score", "type": "double"}]}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}  # fmt: skip
MAPPING = """[send]
names = ["Sent"]
json = false

[send.fields]
id = "key"
user_id = "uid"
time = "at"
channel = { column = "via", values = { "EMAIL" = "EMAIL", "*" = "OTHER" } }
"""


def configured(folder: Path, text: str, **more: Any) -> Settings:
    file = folder / "mappings.toml"
    file.write_text(text)
    return load({"mappings_file": str(file), **more}, env={}, file=Path("none"))


def with_file(folder: Path, text: str = MAPPING) -> Settings:
    (folder / "sent.avsc").write_text(json.dumps(SENT))
    schema = 'schema = "sent.avsc"\nids = [1001]\n'
    return configured(folder, text.replace("[send]\n", f"[send]\n{schema}", 1))


def test_no_file_no_mappings() -> None:
    assert not mappings_of(load({}, env={}, file=Path("none")))


def test_a_mapping_fits_the_schema_of_its_file(tmp_path: Path) -> None:
    settings = with_file(tmp_path)
    (checked,) = check_mappings(settings)
    assert (checked.against, checked.compared) == ("sent.avsc", True)
    (mapping,) = mappings_of(settings)["send"]
    assert mapping.writers[1001] == SENT
    assert mappings_of(settings) is mappings_of(settings)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"uid"', '"uidd"', "9: send.fields.user_id: com.acme.Sent has no field 'uidd'"),
        ('"uid"', '"who.score"', "9: send.fields.user_id: who.score is of type double"),
        ('"uid"', '"tags"', "9: send.fields.user_id: tags is of type array"),
        ('"at"', '{ column = "at", unit = "s" }', "10: send.fields.time: at is in ms"),
        ('time = "at"', 'time = "uid"', "10: send.fields.time: the schema does not say how uid"),
        ('"at"', '{ column = "at", format = "iso" }', "gives no text with a format"),
        (', "*" = "OTHER"', "", "11: send.fields.channel: the mapping does not say what FAX"),
        ('{ column = "via", values = { "EMAIL" = "EMAIL", "*" = "OTHER" } }', '"via"', "FAX"),
        ('"EMAIL" = "EMAIL"', '"MAIL" = "EMAIL"', "via has no value 'MAIL'"),
        ('names = ["Sent"]', 'names = ["Send"]', "which names does not have"),
        ("json = false", "", "how is the time written in JSON?"),
        ('"sent.avsc"', '"other.avsc"', "2: send.schema"),
        ("[1001]", "[1]", "3: send.ids: 1 is an id of emberline's own"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    with_file(tmp_path)
    text = (tmp_path / "mappings.toml").read_text()
    assert before in text
    with pytest.raises(UsageError) as told:
        check_mappings(configured(tmp_path, text.replace(before, after, 1)))
    assert said in told.value.message
    assert told.value.message.startswith(f"{tmp_path / 'mappings.toml'}:")
    assert told.value.remedy


def test_a_mapping_is_compared_with_the_registry(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as remote:
        url = {"schema_registry_url": remote.url}
        settings = configured(tmp_path, MAPPING, **url)
        (checked,) = check_mappings(settings)
        assert not checked.compared
        assert "no such record under emberline.interactions.send-value" in checked.against
        remote.register("emberline.interactions.send-value", SENT)
        assert check_mappings(settings)[0].compared
        for before, after, said in (
            ('"key"', '"kee"', r"mappings.toml:6: send.fields.id: .* no field 'kee'"),
            ("json", 'subject = "none"\njson', r"no such record under none \(none\)"),
            ("json", "ids = [1001]\nschema = 'x'\njson", "ids are for use without"),
        ):
            folder = tmp_path / str(len(said))
            folder.mkdir()
            with pytest.raises(UsageError, match=said):
                check_mappings(configured(folder, MAPPING.replace(before, after, 1), **url))
        remote.down = True
        with caplog.at_level(logging.WARNING):
            assert not check_mappings(settings)[0].compared
        assert "could not be compared" in caplog.text


def test_a_subject_needs_a_registry(tmp_path: Path) -> None:
    text = MAPPING.replace("json", 'subject = "s"\njson', 1)
    with pytest.raises(UsageError, match="a subject without a schema registry"):
        mappings_of(configured(tmp_path, text))


@pytest.mark.parametrize("content", [b"\xff", b"x" * 1_000_001, None, b"a = 1"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "mappings.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"mappings\.toml"):
        mappings_of(load({"mappings_file": str(file)}, env={}, file=Path("none")))
