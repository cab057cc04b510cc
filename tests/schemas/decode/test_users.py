"""User records, one by one: each becomes a row, a forward to its shard, or a reject."""

import io
import json
from dataclasses import replace
from typing import Any

import fastavro
import polars as pl
import pytest

from schemas.decode.check import DEFAULT_LIMITS
from schemas.decode.users import take_users
from schemas.mapping.topics import parse
from schemas.records import codec, registry
from schemas.tables.placement import partition_of
from schemas.tables.roster import Alias, aliases_of
from tests.rigs.record_batches import INPUTS, Produced, batch
from tests.rigs.registry_server import written

TOPIC = "t.users"


def said(user: str, **fields: Any) -> bytes:
    return codec.encode("user", {"user_id": user, **fields})


def labelled(name: str, label: str) -> dict[str, str]:
    return {"alias_name": name, "alias_label": label}


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (Produced(said("u" * 513), None), "too_long"),
        (Produced(said("u", external_user_id="x" * 513), None), "too_long"),
        (Produced(said("u", aliases=["é" * 257]), None), "too_long"),
        (Produced(said("u", aliases=[f"{n:0500}" for n in range(1_900)]), None), "too_large"),
        (
            Produced(said("u", aliases=[f"{n:03}" + "\x01" * 500 for n in range(900)]), None),
            "too_large",
        ),
        (Produced(None, key=None), "missing_field"),
        (Produced(None, key=b""), "missing_field"),
        (Produced(None, key=b"\xff"), "bad_key"),
        (Produced(None, key=b"k" * 513), "too_long"),
        (Produced(b"{", None), "bad_json"),
        (Produced(b'{"user_id": 1}', None), "bad_json"),
        (Produced(b"{}", None), "missing_field"),
        (Produced(b"", None), "undecodable"),
        (Produced(said(""), None), "missing_field"),
        (Produced(said("u", merged_into=""), None), "missing_field"),
        (Produced(said("u", merged_into="u"), None), "bad_merge"),
        (Produced(said("u", merged_into="x" * 513), None), "too_long"),
        (Produced(said("u", external_user_id=""), None), "missing_field"),
        (Produced(said("u", aliases=["a", ""]), None), "missing_field"),
        (Produced(said("u", user_aliases=[labelled("", "l")]), None), "missing_field"),
        (Produced(said("u", user_aliases=[labelled("n", "l" * 513)]), None), "too_long"),
        (Produced(b'{"user_id": "u", "merged_into": 7}', None), "bad_json"),
        (Produced(b'{"user_id": "u", "aliases": "a"}', None), "bad_json"),
        (Produced(b'{"user_id": "u", "aliases": [{"alias_name": "a"}]}', None), "bad_json"),
        (Produced(b'{"user_id": "u", "user_aliases": ["a"]}', None), "bad_json"),
        (
            Produced(b'{"user_id": "u", "user_aliases": [{"alias_label": "l"}]}', None),
            "missing_field",
        ),
        (
            Produced(codec.encode("open", {"id": "1", "user_id": "u", "time": 1}), None),
            "undecodable",
        ),
        (Produced(said("u"), key=b"v"), "bad_key"),
        (Produced(said("u"), key=b"\xff"), "bad_key"),
        (Produced(said("u"), key=b"\0\0\0\0\7\2v"), "bad_key"),
        (Produced(said("u"), key=b'{"user_id": "v"}'), "bad_key"),
        (Produced(None, key=b"\0\0\0\0\7\4u"), "bad_key"),
        (Produced(None, key=b"\0\0\0\0\7\0"), "missing_field"),
        (Produced(None, key=b'""'), "missing_field"),
    ],
)
def test_each_bad_record_is_rejected_with_its_reason_and_harms_no_other(
    record: Produced, code: str
) -> None:
    good = Produced(json.dumps({"user_id": "good"}).encode(), b"good")
    taken = take_users([batch([good, record, good], topic=TOPIC)], 0, 1, 5, INPUTS)
    (reject,) = taken.rejects
    assert (reject.code, reject.offset) == (code, 1)
    assert len(reject.key or b"") + len(reject.value or b"") <= DEFAULT_LIMITS.max_record_bytes
    assert taken.rows.select("user", "sequence").rows() == [("good", 5), ("good", 6)]


def test_users_of_other_shards_are_forwarded_as_they_are() -> None:
    users = [f"u{n}" for n in range(20)]
    records = [
        Produced(None if n % 3 else said(user), user.encode()) for n, user in enumerate(users)
    ]
    taken = take_users([batch(records, topic=TOPIC)], 1, 4, 0, INPUTS)
    targets = partition_of(pl.Series(users), 4).to_list()
    assert taken.rows["user"].to_list() == [
        u for u, t in zip(users, targets, strict=True) if t == 1
    ]
    for forward in taken.forwards:
        assert forward.topic == TOPIC
        assert [(one.key, one.value) for one in forward.records] == [
            (record.key, record.value)
            for record, target in zip(records, targets, strict=True)
            if target == forward.target
        ]
    assert sum(len(forward.records) for forward in taken.forwards) == len(users) - taken.rows.height


FRAME = b"\0\0\1\x86\xa0"
USER = 'ä"1'
KEYS = {
    "text": USER.encode(),
    "JSON": json.dumps(USER).encode(),
    "JSON object": json.dumps({"user_id": USER}).encode(),
    "Avro": FRAME + b"\x08" + USER.encode(),
    "JSON in a frame": FRAME + json.dumps(USER).encode(),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_form_of_a_key_names_the_same_user(key: bytes) -> None:
    records = [Produced(said(USER, external_user_id="e"), key), Produced(None, key)]
    taken = take_users([batch(records, topic=TOPIC)], 0, 1, 0, INPUTS)
    assert not taken.rejects
    assert taken.rows.select("user", "deleted").rows() == [(USER, False), (USER, True)]


@pytest.mark.parametrize("key", [None, b""])
def test_a_record_without_a_key_is_its_user_s(key: bytes | None) -> None:
    taken = take_users([batch([Produced(said("u"), key)], topic=TOPIC)], 0, 1, 0, INPUTS)
    assert (taken.rows["user"].to_list(), taken.rejects) == (["u"], [])


def test_aliases_keep_their_labels_and_json_says_what_avro_says() -> None:
    fields = {"aliases": ["a", "a"], "user_aliases": [labelled("a", "l"), labelled("b", "")]}
    records = [
        Produced(said("u", **fields), b"u"),
        Produced(json.dumps({"user_id": "u", **fields}).encode(), b"u"),
    ]
    rows = take_users([batch(records, topic=TOPIC)], 0, 1, 0, INPUTS).rows
    expected = (Alias("a"), Alias("a", "l"), Alias("b"))
    assert [aliases_of(text) for text in rows["aliases"]] == [expected] * 2


def test_records_of_the_release_before_are_read() -> None:
    former = registry.by_id(7)[1]
    body = io.BytesIO(b"\0\0\0\0\7")
    body.seek(5)
    fastavro.schemaless_writer(body, former, {"user_id": "u", "aliases": ["a"]})
    taken = take_users([batch([Produced(body.getvalue(), b"u")], topic=TOPIC)], 0, 1, 0, INPUTS)
    assert [aliases_of(text) for text in taken.rows["aliases"]] == [(Alias("a"),)]


MAPPING = """
[user.fields]
user_id = "number"
external_user_id = { column = "person.key", absent = ["", "-"] }
merged_into = { column = "state", values = { "gone" = "0", "*" = "1" } }
user_aliases = { column = "names", name = "n" , label = "of" }
aliases = "nick"
"""
PERSON = {
    "type": "record",
    "name": "Person",
    "fields": [
        {"name": "number", "type": "long"},
        {
            "name": "person",
            "type": [
                "null",
                {"type": "record", "name": "P", "fields": [{"name": "key", "type": "string"}]},
            ],
        },
        {"name": "state", "type": ["null", "string"]},
        {"name": "nick", "type": ["null", "string"]},
        {
            "name": "names",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "N",
                    "fields": [{"name": "n", "type": "string"}, {"name": "of", "type": "string"}],
                },
            },
        },
    ],
}
ID = 1_007


class _Persons:
    def writer(self, schema_id: int) -> dict[str, Any]:
        return PERSON if schema_id == ID else registry.FILES.writer(schema_id)


def test_records_of_another_schema_become_users() -> None:
    inputs = replace(INPUTS, mappings=parse(MAPPING))
    person = {
        "number": 7,
        "person": {"key": "k"},
        "state": None,
        "nick": "bo",
        "names": [{"n": "a", "of": "crm"}],
    }
    alias_object = {**person, "names": person["names"][0]}  # type: ignore[index]
    values = [
        written(PERSON, ID, person),
        json.dumps(alias_object).encode(),
        json.dumps({"number": 8, "person": {"P": {"key": "-"}}, "state": "gone"}).encode(),
        json.dumps({"person": None}).encode(),
        json.dumps({"number": 9, "names": [{"of": "crm"}]}).encode(),
        codec.encode("user", {"user_id": "own"}, registry.own_id("user")),
    ]
    made = batch([Produced(value, None) for value in values], topic=TOPIC)
    taken = take_users([made], 0, 1, 0, inputs, source=_Persons())
    rows = {row["user"]: row for row in taken.rows.sort("sequence").to_dicts()}
    assert list(rows) == ["7", "8", "own"]
    assert rows["7"]["external"] == "k"
    assert aliases_of(rows["7"]["aliases"]) == (Alias("bo"), Alias("a", "crm"))
    assert (rows["8"]["external"], rows["8"]["merged_into"]) == (None, "0")
    assert [(one.offset, one.code) for one in taken.rejects] == [
        (3, "missing_field"),
        (4, "unmapped"),
    ]
