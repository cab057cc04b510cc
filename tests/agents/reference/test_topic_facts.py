"""What the reference says about topics agrees with the table of rights, and with the records."""

import re
from pathlib import Path

import pytest

from agents.reference.topic_facts import facts, retention
from schemas.decode.forward import KEY, LAYOUTS
from schemas.decode.reject import Reject
from schemas.records import registry
from streams.kafka.topic_specs import Topics
from streams.settings import Settings

FACTS = facts(Settings(prefix=""))
ROLES = {"shards": 0, "coordinator": 0, "notifier": 0, "workers": 0}
COLUMNS = {**ROLES, "producers": 1, "operators": 2, "consumers": 3}


def rights() -> dict[str, list[str]]:
    page = (Path(__file__).parents[3] / "SECURITY.md").read_text()
    rows = re.findall(r"^\| `([a-z.-]+)` \|(.*)\|$", page, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_every_topic_has_facts() -> None:
    assert [spec.name for spec, _ in FACTS] == list(Topics("").all())


def test_every_record_has_a_topic() -> None:
    found = [about.record for _, about in FACTS if about.record is not None]
    assert sorted(found) == sorted(registry.NAMES)


def test_writers_and_readers_have_the_rights_of_security_md() -> None:
    table = rights()
    for spec, about in FACTS:
        columns = table[spec.name]
        writers = {COLUMNS[role] for role in about.writers}
        assert writers == {at for at, cell in enumerate(columns) if "W" in cell}, spec.name
        readers = {COLUMNS[role] for role in about.readers}
        may = {at for at, cell in enumerate(columns) if "R" in cell}
        assert readers <= may, spec.name
        assert may - readers <= {0}, f"{spec.name}: workers alone may read more than they do"


def test_headers_are_those_that_are_written() -> None:
    about = {spec.name: about for spec, about in FACTS}
    reject = Reject("t", 0, 0, "bad_json", "", None, None)
    assert list(about["rejected"].headers or ()) == [*(name for name, _ in reject.headers), "of"]
    assert set(about["repartition"].headers or ()) == {KEY, *LAYOUTS[0]}


@pytest.mark.parametrize(
    ("topic", "kept"),
    [
        ("interactions.send", "7 days, or as you set it"),
        ("users", "the last record of each key; deletions for 30 days"),
        ("control", "30 days"),
        ("lifecycle.restored", "1 year"),
        ("lifecycle.audit", "for ever"),
        ("repartition", "until they are processed"),
    ],
)
def test_how_long_a_topic_keeps_its_records(topic: str, kept: str) -> None:
    assert next(retention(spec, about) for spec, about in FACTS if spec.name == topic) == kept
