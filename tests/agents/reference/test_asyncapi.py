"""The AsyncAPI document is valid, and says what the topics and records are."""

import copy
import io
import json
from typing import Any

import fastavro
import jsonschema_rs
import pytest

from agents.reference.asyncapi import AVRO, IDS, document
from agents.reference.json_form import json_form
from agents.reference.topic_facts import facts
from schemas.records import codec, registry
from schemas.records.registry import REGISTRY
from schemas.records.undecodable import Undecodable
from streams.kafka.topic_specs import Topics, specs
from streams.settings import Settings
from streams.settings_values import Address
from tests.rigs.asyncapi import faults, resolve

SETTINGS = Settings()
FOUND = document(SETTINGS)
MESSAGES: dict[str, Any] = FOUND["components"]["messages"]
INPUTS = {about.record: spec.name for spec, about in facts(SETTINGS) if about.json}


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        Settings(prefix="", partitions=3, replication_factor=3),
        Settings(bootstrap_servers="a:1,b:2", schema_registry_url=Address("https://ann:pw@r:8081")),
    ],
    ids=["default", "empty prefix", "registry"],
)
def test_the_document_is_valid(settings: Settings) -> None:
    assert faults(document(settings)) == []


BROKEN: dict[str, Any] = {
    "lacks version": lambda found: found["info"].pop("version"),
    "has no member adress": lambda found: found["channels"]["users"].update(adress="x"),
    "leads nowhere": lambda found: found["components"]["messages"].pop("Send"),
    "is none of ('send', 'receive')": lambda found: found["operations"][
        "receive.users"
    ].update(action="publish"),
    "no channel has it": lambda found: found["channels"]["users"]["messages"].pop("UserNull"),
    "the same address": lambda found: found["channels"]["users"].update(
        address="emberline.catalog"
    ),
    "is no Avro schema": lambda found: found["components"]["messages"]["User"]["payload"][
        "schema"
    ]["fields"][0].pop("type"),
    "is no JSON schema": lambda found: found["components"]["messages"]["UserJson"][
        "payload"
    ].update(type="text"),
    "is no number from 1": lambda found: found["channels"]["users"]["bindings"]["kafka"].update(
        partitions=0
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_the_checker_finds_a_fault(fault: str) -> None:
    wrong = copy.deepcopy(FOUND)
    BROKEN[fault](wrong)
    assert any(fault in one for one in faults(wrong)), faults(wrong)


def test_every_topic_is_a_channel_with_its_settings() -> None:
    settings = Settings(prefix="p.", partitions=5, replication_factor=3)
    channels = document(settings)["channels"]
    assert [channel["address"] for channel in channels.values()] == list(Topics("p.").all())
    for spec in specs(settings):
        bound = channels[spec.name.removeprefix("p.")]["bindings"]["kafka"]
        assert (bound["partitions"], bound["replicas"]) == (spec.partitions, 3)
        for name, value in bound["topicConfiguration"].items():
            shown = value[0] if isinstance(value, list) else str(value)
            assert shown == spec.configs[name], f"{spec.name}: {name}"


def test_every_record_has_its_schema_and_all_its_ids() -> None:
    ids = []
    for name in registry.NAMES:
        message = MESSAGES[registry.raw(name)["name"]]
        assert message["payload"] == {"schemaFormat": AVRO, "schema": registry.raw(name)}
        assert message[IDS][:2] == [registry.schema_id(name), registry.own_id(name)]
        ids += message[IDS]
    assert sorted(ids) == sorted(REGISTRY)


def test_a_record_is_read_with_the_schema_of_the_document() -> None:
    record = {"user_id": "ada", "aliases": ["a"], "user_aliases": [{"alias_name": "n"}]}
    data = codec.encode("user", record, registry.own_id("user"))
    message = MESSAGES["User"]
    assert int.from_bytes(data[1:5], "big") in message[IDS]
    read: Any = fastavro.schemaless_reader(io.BytesIO(data[5:]), message["payload"]["schema"], None)
    assert (read["user_id"], read["user_aliases"][0]["alias_name"]) == ("ada", "n")


def test_inputs_are_received_and_outputs_are_sent() -> None:
    operations = FOUND["operations"]
    actions: dict[str, set[str]] = {}
    for operation in operations.values():
        channel = operation["channel"]["$ref"].rpartition("/")[2]
        actions.setdefault(channel, set()).add(operation["action"])
    assert actions.keys() == FOUND["channels"].keys()
    assert actions["interactions.send"] == actions["users"] == actions["catalog"] == {"receive"}
    assert actions["lifecycle.expired"] == actions["control.results"] == {"send"}
    assert actions["control"] == {"receive", "send"}, "workers write commands of their own calls"


def test_internal_topics_are_marked() -> None:
    inner = {"repartition", "shard-reports", "changelog", "archive"}
    marked = {
        name
        for name, channel in FOUND["channels"].items()
        if [tag["name"] for tag in channel.get("tags", ())] == ["internal"]
    }
    assert marked == {*inner, "coordinator", "notifications"}


def test_input_topics_have_the_json_form_of_their_records() -> None:
    for channel in FOUND["channels"].values():
        kinds = {resolve(FOUND, one["$ref"])["contentType"] for one in channel["messages"].values()}
        assert ("application/json" in kinds) == (channel["address"] in INPUTS.values())


def test_headers_of_rejected_records_and_of_signed_commands() -> None:
    headers = MESSAGES["Rejected"]["headers"]["properties"]
    assert list(headers) == ["topic", "partition", "offset", "code", "detail", "of"]
    assert list(MESSAGES["Command"]["headers"]["properties"]) == [
        "emberline-actor", "emberline-proof"
    ]  # fmt: skip


def test_the_document_shows_no_password() -> None:
    settings = Settings(
        schema_registry_url=Address("https://ann:pw-4711@r:8081"), api_key="emb_4712"
    )
    text = json.dumps(document(settings))
    assert "https://r:8081" in text
    assert "4711" not in text
    assert "4712" not in text


FULL: dict[str, dict[str, Any]] = {
    "send": {"id": "1", "user_id": "u", "time": 1767225600000, "channel": "EMAIL"},
    "open": {"id": "1", "user_id": "u", "time": 1767225600000, "machine_open": True},
    "click": {"id": "1", "user_id": "u", "time": 1767225600000, "url": "x"},
    "variant": {"id": "1", "user_id": "u", "time": 1767225600000, "exited": False},
    "conversion": {
        "id": "1", "user_id": "u", "time": 1767225600000, "conversion_behavior_index": 2
    },
    "signal": {"id": "1", "user_id": "u", "time": 1767225600000, "signal_type": "FEED_VIEW"},
    "user": {"user_id": "u", "user_aliases": [{"alias_name": "a", "alias_label": "l"}]},
    "definition": {
        "key": "canvas:c",
        "status": "ACTIVE",
        "filters": {"filter": "in_segment", "segment": "s"},
        "steps": [{"id": "1"}],
    },
    "command": {"type": "restore", "sources": ["campaign:a"], "notify": ["a@b"]},
}  # fmt: skip
WRONG: list[Any] = [None, True, 1.5, "x", ["y"], {"z": 1}, [1], [{}]]


def _reads(name: str, record: Any) -> bool:
    try:
        codec.decode(json.dumps(record).encode(), name)
    except Undecodable:
        return False
    return True


def test_every_input_has_an_example() -> None:
    assert FULL.keys() == INPUTS.keys()


@pytest.mark.parametrize("name", FULL)
def test_the_json_form_allows_what_is_read_and_nothing_else(name: str) -> None:
    allows = jsonschema_rs.Draft7Validator(json_form(name)).is_valid
    full = FULL[name]
    assert allows(full)
    assert _reads(name, full)
    for field in registry.raw(name)["fields"]:
        left = {key: value for key, value in full.items() if key != field["name"]}
        assert allows(left) == _reads(name, left), f"without {field['name']}"
        for value in WRONG:
            changed = full | {field["name"]: value}
            assert allows(changed) == _reads(name, changed), f"{field['name']}: {value!r}"
