"""The mappings of topics as they stand in a file: what is wrong is named with its line."""

import pytest

from schemas.mapping.spelling import BadMapping
from schemas.mapping.topics import line_of, parse

GOOD = """
[send]
names = ["com.acme.Sent"]
ids = [1001]
schema = "sent.avsc"
json = false

[send.fields]
id = "key"
user_id = { column = "customer.number", absent = ["0"] }
time = "at"

[[open]]
names = ["com.acme.Opened"]
[open.fields]
id = "key"
user_id = "uid"
time = { column = "at", unit = "ms" }

[[open]]
names = ["com.acme.OpenedByMachine"]
json = false
[open.fields]
id = "key"
user_id = "uid"
time = { column = "at", unit = "ms" }
machine_open = { value = true }

[user.fields]
user_id = "uid"
user_aliases = { column = "nicknames", name = "nick", label = "of" }
"""


def test_a_file_has_the_mappings_of_topics() -> None:
    found = parse(GOOD)
    assert list(found) == ["send", "open", "user"]
    (send,) = found["send"]
    assert send.takes("com.acme.Sent")
    assert not send.takes("com.acme.Other")
    assert (send.ids, send.schema, send.json) == ((1001,), "sent.avsc", False)
    assert [one.key for one in found["open"]] == [("open", "0"), ("open", "1")]
    assert found["user"][0].aliases["user_aliases"].name == "nick"


@pytest.mark.parametrize(
    ("before", "after", "key", "line", "said"),
    [
        ("[send]\n", "[sned]\n", "sned", None, "no topic of 'sned'"),
        ("ids =", "idz =", "send.idz", 4, "no 'idz'"),
        ("[1001]", "[3]", "send.ids", 4, "id of emberline's own schemas"),
        ("[1001]", '["a"]', "send.ids", 4, "no list of numbers"),
        ('schema = "sent.avsc"', "", "send.ids", 4, "ids without a schema"),
        ("json = false\n\n[send", 'json = "no"\n\n[send', "send.json", 6, "neither true nor"),
        ('user_id = { column = "customer', 'userid = { column = "customer', None, 10, "'userid'"),
        ("absent", "absend", "send.fields.user_id", 10, "no 'absend'"),
        ('time = "at"', "", "send.fields", 8, "needs the field time"),
        ("machine_open =", "machine_opne =", "open.1.fields.machine_opne", 27, "machine_opne"),
        ('["com.acme.OpenedByMachine"]', '["com.acme.Opened"]', "open.1", None, "in two mappings"),
        ('["com.acme.OpenedByMachine"]\njson = false', '["com.acme.B"]', "open.1", None, "JSON"),
        ("label =", "lable =", "user.fields.user_aliases", 31, "no 'lable'"),
        ("[user.fields]", "[user.fields", "", 1, "no TOML"),
        ("[user.fields]\n", "[user]\n", None, None, "no 'user_id'"),
    ],
)
def test_what_is_wrong_is_named(
    before: str, after: str, key: str | None, line: int | None, said: str
) -> None:
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    with pytest.raises(BadMapping) as told:
        parse(text)
    assert said in str(told.value)
    if key is not None:
        assert ".".join(told.value.key) == key
    if line is not None:
        assert line_of(text, told.value.key) == line
