"""Readers of what other programs have written: mapping files, records that are mapped, exports of
Currents, CSV, compressed files."""

import gzip
import io
import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cramjam
import fastavro
from hypothesis import strategies as st

from agents.tools.feed.csv_files import CsvFiles
from agents.tools.feed.currents_files import CurrentsFiles
from agents.tools.feed.mapping_file import CsvMapping, plain_mapping, read_mapping
from agents.tools.feed.opening import opened
from agents.tools.import_journal import ImportPosition
from agents.tools.records import plain_ids
from schemas.decode.decoder import decode
from schemas.decode.users import take_users
from schemas.errors import Fatal, UsageError
from schemas.mapping.spelling import BadMapping
from schemas.mapping.topics import TopicMappings, line_of, parse
from schemas.records import registry
from schemas.records.registry import FILES
from streams.clock import SystemClock
from tests.rigs.currents import event, schema_of
from tests.rigs.hostile.fuzz.damage import broken_json, damaged
from tests.rigs.hostile.fuzz.target import Target
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch
from tests.rigs.registry_server import written

__all__ = ["TARGETS"]

_ID = 1_007
_MAPPING = """
[send]
names = ["com.acme.Sent"]
[send.fields]
id = { hash = ["who.number", "at"] }
user_id = "who.number"
time = { column = "at", unit = "s" }
campaign_id = { column = "what", absent = ["", "none"] }
channel = { column = "via", values = { "mail" = "EMAIL", "*" = "OTHER" } }

[[open]]
[open.fields]
id = "id"
user_id = "uid"
time = { column = "when", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
machine_open = { value = true }

[user.fields]
user_id = "number"
user_aliases = { column = "names", name = "n", label = "of" }
"""
_CSV = """
record = "open"
delimiter = ";"
[fields]
id = { hash = ["uid", "at"] }
user_id = "uid"
time = { column = "at", format = "iso" }
campaign_id = { column = "what", absent = ["NULL"] }
"""
_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Sent",
    "namespace": "com.acme",
    "fields": [
        {
            "name": "who",
            "type": {
                "type": "record",
                "name": "Who",
                "fields": [{"name": "number", "type": ["null", "long"]}],
            },
        },
        {"name": "at", "type": "double"},
        {"name": "what", "type": "string"},
        {"name": "via", "type": {"type": "enum", "name": "Via", "symbols": ["mail", "fax"]}},
        {"name": "seen", "type": "boolean"},
    ],
}
_RECORD = {"who": {"number": 5}, "at": NOW / 1000, "what": "spring", "via": "mail", "seen": True}
_USER = {"number": 5, "names": [{"n": "a", "of": "crm"}], "aliases": ["b"]}
_KIND = "users.messages.email.Open"
_ROWS = b"uid;at;what\nada;2026-01-31T12:00:00Z;spring\nbob;2026-01-31;NULL\n" * 3


class _One:
    """A registry with one schema of another program."""

    def writer(self, schema_id: int) -> dict[str, Any]:
        """The schema."""
        return _SCHEMA if schema_id == _ID else FILES.writer(schema_id)


_SOURCE = _One()


@cache
def _mappings() -> TopicMappings:
    return parse(_MAPPING)


def _mapping_file(data: bytes) -> None:
    """Mappings that records can be read with, or one error that names a line."""
    text = data.decode(errors="replace")
    try:
        found = parse(text)
    except BadMapping as wrong:
        line = line_of(text, wrong.key)
    else:
        line = 1
        _read_both(found)
    assert 1 <= line <= len(text.splitlines()) + 1


def _read_both(found: TopicMappings) -> None:
    _read(written(_SCHEMA, _ID, _RECORD), found)
    _read(json.dumps(_RECORD).encode(), found)


def _csv_mapping(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mapping.toml"
        file.write_bytes(data)
        with suppress(UsageError):
            _rows(_ROWS, read_mapping(file))


def _mapped(value: bytes) -> None:
    _read(value, _mappings())


def _read(value: bytes, mappings: TopicMappings) -> None:
    """Each record is a row or a reject, in whatever company it comes."""
    for beside in ([], [written(_SCHEMA, _ID, _RECORD)] * 9):
        values = [value, *beside]
        for kind in ("send", "open"):
            one = batch([Produced(each) for each in values])
            found = decode([one], kind, source=_SOURCE, mappings=mappings)
            assert found.frame.height + len(found.rejects) == len(values)
        users = batch([Produced(each, None) for each in values], topic="t.users")
        inputs = replace(INPUTS, mappings=mappings)
        taken = take_users([users], 0, 1, 0, inputs, source=_SOURCE)
        assert taken.rows.height + len(taken.rejects) == len(values)


def _container(codec: str) -> bytes:
    out = io.BytesIO()
    records = [event(_KIND, random.Random(n)) for n in range(4)]
    fastavro.writer(out, schema_of(_KIND), records, codec=codec)
    return out.getvalue()


def _currents(data: bytes) -> None:
    """An export: events, bad ones, or one error that names the file."""
    reader = CurrentsFiles(plain_ids, 512, SystemClock())
    with _file(data, f"event_type={_KIND}", "a.avro") as file:
        _all(file, reader)


def _rows(data: bytes, mapping: CsvMapping) -> None:
    reader = CsvFiles(mapping, plain_ids, 512, SystemClock())
    with _file(data, "a.csv") as file:
        _all(file, reader)


def _all(file: Path, reader: CsvFiles | CurrentsFiles) -> None:
    with suppress(Fatal, UsageError), opened(file) as content:
        for one in reader.batches(content, ImportPosition()):
            assert len(one.bad) + sum(len(chunk.keys) for chunk in one.chunks) < 1_000_000


@contextmanager
def _file(data: bytes, *names: str) -> Iterator[Path]:
    """A file of these bytes, for a while."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, *names)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        yield file


@cache
def _csv() -> CsvMapping:
    with _file(_CSV.encode(), "mapping.toml") as file:
        return read_mapping(file)


_VALUES = [
    written(_SCHEMA, _ID, _RECORD),
    json.dumps(_RECORD).encode(),
    json.dumps({"id": "e", "uid": 7, "when": "31.01.2026 12:00"}).encode(),
    json.dumps(_USER).encode(),
    b"\0" + registry.own_id("send").to_bytes(4, "big") + b"\x02e\x02u",
]
_PACKED = [gzip.compress(_ROWS), bytes(cramjam.zstd.compress(_ROWS)), _ROWS]

TARGETS = {
    "mapping-files": Target(damaged([_MAPPING.encode()]), _mapping_file),
    "csv-mappings": Target(damaged([_CSV.encode()]), _csv_mapping),
    "mapped-records": Target(st.one_of(damaged(_VALUES), broken_json([_RECORD, _USER])), _mapped),
    "currents-files": Target(damaged([_container("null"), _container("deflate")]), _currents, 200),
    "csv-files": Target(damaged(_PACKED), lambda data: _rows(data, plain_mapping("send")), 200),
    "mapped-csv-files": Target(damaged(_PACKED), lambda data: _rows(data, _csv()), 200),
}
