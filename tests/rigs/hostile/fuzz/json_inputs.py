"""Readers of JSON that people and programs write: filters, cursors, keys files, import files."""

import base64
import io
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import fastavro
from hypothesis import strategies as st

from agents.filters import references
from agents.filters.errors import FilterError
from agents.filters.parsing import parse, parse_text
from agents.filters.references import UnreadableFilter
from agents.http.keys import Keys
from agents.http.problems import Problem
from agents.tools.import_files import batches
from agents.tools.import_journal import ImportPosition
from agents.tools.records import kind_of_record
from agents.web.routes.audience_request import Cursor
from schemas.errors import Fatal, UsageError
from schemas.records import json_codec, registry
from schemas.records.undecodable import Undecodable
from streams.group.shard_plan import Claim, Directory, plan
from tests.rigs.hostile.fuzz.damage import broken_json, broken_text, damaged
from tests.rigs.hostile.fuzz.kafka_bytes import GOOD
from tests.rigs.hostile.fuzz.target import Target

__all__ = ["TARGETS"]

_FILTERS = [
    {"filter": "received_from_campaign", "campaign": "a"},
    {
        "and": [
            {
                "filter": "clicked_opened_campaign",
                "campaign": "a",
                "action": "opened",
                "has": False,
            },
            {"not": {"filter": "last_received_any_message", "after": "2026-01-01"}},
            {"or": [{"filter": "received_campaign_from_tag", "tag": "t"}]},
        ]
    },
]


def _filter(text: str) -> None:
    for opaque in (False, True):
        with suppress(FilterError):
            parse_text(text, opaque=opaque)
    try:
        tree = references.parse(text)
    except UnreadableFilter:
        return
    with suppress(UnreadableFilter):
        list(references.leaves(tree))
    with suppress(FilterError):
        parse(tree)


def _json_record(made: tuple[str, bytes]) -> None:
    """Strict JSON of the schema's types, or a reject."""
    name, data = made
    try:
        json_codec.decode(data, name)
    except Undecodable as error:
        refused = error.code
    else:
        refused = "bad_json"
    assert refused in ("bad_json", "missing_field")


_KEYS = [
    {
        "format": 1,
        "secret": "s" * 64,
        "keys": [
            {"name": "a", "scopes": ["admin"], "hash": "0" * 64, "created_at": 1, "email": ""}
        ],
    }
]


def _keys(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        file.write_bytes(data)
        file.chmod(0o600)
        with suppress(Fatal):
            Keys.load(file)


def _group(data: bytes) -> None:
    """The claim of a member, and the directory that a leader sends."""
    with suppress(ValueError):
        claim = Claim.decode(data)
        plan({"one": claim, "two": claim}, 4)
    with suppress(ValueError):
        Directory.decode(data)


_GROUP = [
    {"address": "http://a:1", "generation": 3, "shards": [0, 1], "control": True, "rejoin": 0},
    {"shards": {"0": "http://a:1", "1": "http://[::1]:99999"}, "control": "http://a:1"},
]


def _cursor(text: str) -> None:
    with suppress(Problem):
        Cursor.read(text)


def _container(codec: str, schema: Any = None, records: Any = None) -> bytes:
    out = io.BytesIO()
    fastavro.writer(
        out,
        registry.raw("send") if schema is None else schema,
        GOOD["send"] * 4 if records is None else records,
        codec=codec,
    )
    return out.getvalue()


_EMPTY = {"type": "record", "name": "Send", "fields": [{"name": "n", "type": "null"}]}
_FILES = [
    b'{"type":"send","id":"e","user_id":"u","time":1760000000000,"campaign_id":"a"}\n' * 3,
    _container("null"),
    _container("deflate"),
    _container("null", _EMPTY, [{"n": None}] * 3),
]


def _import(data: bytes) -> None:
    """A file that is imported: records, bad lines, or one error that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_bytes(data)
        for kind in (None, kind_of_record("send")):
            with suppress(Fatal, UsageError):
                for one in batches(file, kind, ImportPosition()):
                    assert len(one.bad) + sum(len(chunk.keys) for chunk in one.chunks) < 1_000_000


TARGETS = {
    "filters": Target(broken_text(_FILTERS), _filter),
    "json-records": Target(
        st.sampled_from(sorted(GOOD)).flatmap(
            lambda name: st.tuples(st.just(name), broken_json(GOOD[name]))
        ),
        _json_record,
    ),
    "keys-file": Target(broken_json(_KEYS), _keys),
    "group-metadata": Target(broken_json(_GROUP), _group),
    "audience-cursor": Target(
        st.one_of(
            st.text(max_size=40),
            broken_json([["ada", 1_760_000_000_000, "d"]]).map(
                lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")
            ),
        ),
        _cursor,
    ),
    "import-files": Target(damaged(_FILES), _import, 120),
}
