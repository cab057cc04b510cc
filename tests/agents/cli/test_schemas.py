"""`emberline schemas`: our schemas come into a registry once, and a conflict changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agents.cli import main
from schemas.records import registry
from tests.rigs.registry_server import RegistryServer, serving

SENDS = "emberline.interactions.send-value"
OTHER = {"type": "record", "name": "Send", "fields": [{"name": "uid", "type": "string"}]}


@pytest.fixture
def remote() -> Iterator[RegistryServer]:
    with serving() as server:
        yield server


def call(remote: RegistryServer, *args: str, **env: str) -> Result:
    where = {"EMBERLINE_SCHEMA_REGISTRY_URL": remote.url, **env}
    return CliRunner().invoke(main, ["schemas", *args], env=where)


def registered(remote: RegistryServer, *args: str) -> list[dict[str, Any]]:
    result = call(remote, "register", "--json", *args)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["subjects"]
    return found


def test_all_schemas_that_others_write_are_registered_once(remote: RegistryServer) -> None:
    would = registered(remote, "--dry-run")
    assert {one["outcome"] for one in would} == {"new"}
    assert not any(asked.startswith("PUT") or "/versions" in asked
                   for asked in remote.asked if asked.startswith("POST"))  # fmt: skip
    assert remote.subjects == {}
    found = registered(remote)
    assert [one["outcome"] for one in found] == ["registered"] * 9
    assert sorted(remote.subjects) == sorted(one["subject"] for one in found)
    assert {one["record"] for one in found} == {
        *("send", "open", "click", "variant", "conversion", "signal"),
        *("user", "definition", "command"),
    }
    for one in found:
        assert json.loads(remote.schemas[one["id"]]["schema"]) == registry.raw(one["record"])
    again = registered(remote)
    assert {one["outcome"] for one in again} == {"present"}
    assert [(one["id"], one["version"]) for one in again] == [(one["id"], 1) for one in found]


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [
        ("topic", SENDS),
        ("record", "emberline.Send"),
        ("topic-record", "emberline.interactions.send-emberline.Send"),
    ],
)
def test_subjects_are_named_as_serializers_name_them(
    remote: RegistryServer, strategy: str, subject: str
) -> None:
    (one,) = registered(remote, "send", "--strategy", strategy)
    assert one["subject"] == subject
    assert list(remote.subjects) == [subject]


def test_a_conflict_is_explained_and_nothing_is_written(remote: RegistryServer) -> None:
    remote.register(SENDS, OTHER)
    result = call(remote, "register", "--compatibility", "FULL")
    assert result.exit_code == 1
    assert "new readers, old records" in result.stdout
    assert "emberline.interactions.open-value: open would be registered (BACKWARD)" in result.stdout
    assert f"1 subject cannot take our schema, and nothing was written: {SENDS}" in result.stderr
    assert "docs/mappings.md" in result.stderr
    assert list(remote.subjects) == [SENDS]
    assert remote.config == {"": "BACKWARD"}
    # what the registry lets pass is registered as the next version
    remote.config[SENDS] = "NONE"
    (one,) = registered(remote, "send")
    assert (one["outcome"], one["version"], one["level"]) == ("registered", 2, "NONE")


def test_another_type_of_schema_is_a_conflict(remote: RegistryServer) -> None:
    remote.register(SENDS, 'syntax = "proto3"; message Send {}', kind="PROTOBUF")
    result = call(remote, "register", "send")
    assert result.exit_code == 1
    assert "the subject has a schema of type PROTOBUF" in result.stdout


def test_the_compatibility_is_set_before(remote: RegistryServer) -> None:
    (one,) = registered(remote, "send", "--compatibility", "FULL_TRANSITIVE")
    assert one["level"] == "FULL_TRANSITIVE"
    assert remote.config[SENDS] == "FULL_TRANSITIVE"
    puts = [asked for asked in remote.asked if asked.startswith("PUT")]
    registered(remote, "send", "--compatibility", "FULL_TRANSITIVE")
    assert [asked for asked in remote.asked if asked.startswith("PUT")] == puts


def test_who_may_not_is_told(remote: RegistryServer, tmp_path: Path) -> None:
    remote.login = "ada:secret"
    wrong = call(remote, "register", "send", EMBERLINE_SCHEMA_REGISTRY_USER="ada",
                 EMBERLINE_SCHEMA_REGISTRY_PASSWORD="wr0ng")  # fmt: skip
    assert wrong.exit_code == 1
    assert "Unauthorized" in wrong.stderr
    assert "schema_registry_user" in wrong.stderr
    assert "wr0ng" not in wrong.output
    file = tmp_path / "password"
    file.write_text("secret\n")
    right = call(remote, "register", "send", EMBERLINE_SCHEMA_REGISTRY_USER="ada",
                 EMBERLINE_SCHEMA_REGISTRY_PASSWORD_FILE=str(file))  # fmt: skip
    assert right.exit_code == 0, right.output
    remote.read_only = True
    refused = call(remote, "register", "open", EMBERLINE_SCHEMA_REGISTRY_USER="ada",
                   EMBERLINE_SCHEMA_REGISTRY_PASSWORD_FILE=str(file))  # fmt: skip
    assert refused.exit_code == 1
    assert "read-only mode" in refused.stderr


@pytest.mark.parametrize("answer", [(200, b"[]"), (200, b"\xff"), (500, b"{}"), (302, b"")])
def test_an_answer_of_no_registry_is_one_line(
    remote: RegistryServer, answer: tuple[int, bytes]
) -> None:
    remote.raw["/config/" + SENDS] = answer
    result = call(remote, "register", "send")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) <= 2
    assert remote.url in result.stderr


def test_without_a_registry_the_setting_is_named() -> None:
    result = CliRunner().invoke(main, ["schemas", "register"], env={})
    assert result.exit_code == 2
    assert "schema_registry_url" in result.stderr


def test_mappings_are_checked_without_a_worker(remote: RegistryServer, tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('[send]\njson = false\n[send.fields]\nid="uid"\nuser_id="uid"\ntime="uid"\n')
    remote.register(SENDS, {**OTHER, "name": "Sent"})
    result = call(remote, "check", EMBERLINE_MAPPINGS_FILE=str(file))
    assert result.exit_code == 2
    assert (
        f"{file}:6: send.fields.time: the schema does not say how uid is written" in result.stderr
    )
    file = tmp_path / "n.toml"
    file.write_text(
        '[send]\njson = false\n[send.fields]\nid="uid"\nuser_id="uid"\n'
        'time={ column = "uid", format = "iso" }\n'
    )
    result = call(remote, "check", EMBERLINE_MAPPINGS_FILE=str(file))
    assert (result.exit_code, result.stdout) == (0, f"send fits {SENDS}\n")
    assert "no mappings" in call(remote, "check").stdout
