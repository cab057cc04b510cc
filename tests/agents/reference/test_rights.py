"""The least rights of each role, and the table of SECURITY.md."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.reference.rights import ROLES, Right, commands_of, rights
from streams.kafka.topics import Topics
from streams.settings import Settings

SETTINGS = Settings(prefix="p.")
COLUMNS = ("worker", "producer", "operator", "consumer")


def of(role: str, resource: str = "topic") -> dict[str, Right]:
    return {one.name: one for one in rights(SETTINGS, role, "g") if one.resource == resource}


@pytest.mark.parametrize("role", COLUMNS)
def test_no_role_has_more_than_the_table_of_security_md(role: str) -> None:
    page = (Path(__file__).parents[3] / "SECURITY.md").read_text()
    rows = re.findall(r"^\| `([a-z.-]+)` \|(.*)\|$", page, re.MULTILINE)
    for name, cells in rows:
        may = cells.split("|")[COLUMNS.index(role)].strip()
        right = of(role).get(f"p.{name}")
        operations = right.operations if right else ()
        assert {"R": "Read" in operations, "W": "Write" in operations} == {
            "R": "R" in may and (role != "worker" or "Read" in operations),
            "W": "W" in may,
        }, name


def test_workers_join_their_group_and_begin_transactions() -> None:
    assert of("worker", "group")["p.workers"].operations == ("Read",)
    assert of("worker", "transactional-id")["p."] == Right(
        "transactional-id", "p.", ("Write",), prefixed=True
    )
    deleting = {name for name, right in of("worker").items() if "Delete" in right.operations}
    assert deleting == {"p.repartition", "p.shard-reports", "p.archive"}
    assert set(of("worker")) == set(Topics("p.").all())


def test_others_have_no_transactions_and_a_consumer_has_its_own_group() -> None:
    assert [role for role in ROLES if of(role, "transactional-id")] == ["worker", "bridge"]
    assert set(of("consumer", "group")) == {"g"}
    assert not of("producer", "group")


def test_a_bridge_reads_its_topics_and_writes_events_users_and_rejects() -> None:
    found = {one.name: one for one in rights(SETTINGS, "bridge", topics=["in"])}
    topics = Topics("p.")
    assert found.pop("in") == Right("topic", "in", ("Read",))
    assert found.pop("p.bridge") == Right("group", "p.bridge", ("Read",))
    assert found.pop("p.bridge-bridge-").prefixed
    assert set(found) == {*topics.events.values(), topics.users, topics.rejected}
    assert {one.operations for one in found.values()} == {("Write",)}
    text = CliRunner().invoke(main, ["topics", "acls", "--role", "bridge"]).stdout
    assert "# and Read on the topics that it reads: name them with --topic" in text
    text = CliRunner().invoke(main, ["topics", "acls", "--role", "bridge", "--topic", "in"]).stdout
    assert "--operation Read --topic in" in text


def test_an_import_only_writes() -> None:
    topics = Topics("p.")
    written = {*topics.events.values(), topics.users, topics.catalog, topics.control}
    assert set(of("importer")) == written
    assert {one.operations for one in of("importer").values()} == {("Write",)}
    assert not of("importer", "group")


def test_the_commands_are_those_of_kafka() -> None:
    right = Right("transactional-id", "p.", ("Write",), prefixed=True)
    assert [*commands_of([right], "User:CN=a b", "h:1")] == [
        "kafka-acls.sh --bootstrap-server h:1 --command-config admin.properties --add "
        "--allow-principal 'User:CN=a b' --operation Write --transactional-id p. "
        "--resource-pattern-type prefixed"
    ]
    # one Java for all topics with the same operations
    alike = [Right("topic", "a", ("Read",)), Right("topic", "b", ("Write",))]
    alike.append(Right("topic", "c", ("Read",)))
    assert [line.partition("--operation ")[2] for line in commands_of(alike, "User:w", "h:1")] == [
        "Read --topic a --topic c",
        "Write --topic b",
    ]


def test_the_command_prints_roles_for_people_and_programs() -> None:
    run = CliRunner().invoke
    text = run(main, ["topics", "acls", "--role", "worker", "--principal", "User:w"])
    assert text.stdout.startswith("# worker: runs `emberline worker`\nkafka-acls.sh ")
    assert "--allow-principal User:w" in text.stdout
    found = json.loads(run(main, ["topics", "acls", "--json"]).stdout)["roles"]
    assert list(found) == list(ROLES)
    consumer = found["consumer"]
    assert consumer["principal"] == "User:consumer"
    assert consumer["rights"][-1] == {
        "resource": "group",
        "name": "emberline.consumer",
        "pattern": "LITERAL",
        "operations": ["Read"],
    }
    granted = " ".join(consumer["commands"]).split()
    assert {one["name"] for one in consumer["rights"]} <= set(granted)
