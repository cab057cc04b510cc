import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.records import registry
from schemas.records.compatibility import problems, reused_ids

RELEASES = Path(__file__).parents[3] / "schemas" / "releases"


def released(folder: Path) -> dict[int, Any]:
    files = json.loads((folder / "registry.json").read_text())
    return {int(i): json.loads((folder / path).read_text()) for i, path in files.items()}


LAST = released(max(RELEASES.iterdir(), key=lambda p: [int(n) for n in p.name.split(".")]))


@pytest.mark.parametrize("old", LAST.values(), ids=lambda old: old["name"])
def test_every_schema_of_the_last_release_is_compatible_with_the_present_one(old: Any) -> None:
    name = registry.record_name(old["name"])
    assert name is not None
    assert problems(old, registry.raw(name)) == []


def test_no_id_of_any_release_has_changed_its_meaning() -> None:
    now = {i: registry.FILES.writer(i) for i in registry.REGISTRY}
    for folder in RELEASES.iterdir():
        assert reused_ids(released(folder), now) == []


def test_an_id_that_changes_its_bytes_or_goes_is_caught() -> None:
    old = {1: registry.raw("send"), 2: registry.raw("open")}
    changed = copy.deepcopy(registry.raw("send"))
    changed["fields"].append({"name": "weight", "type": ["null", "int"], "default": None})
    assert problems(old[1], changed) == []
    lines = reused_ids(old, {1: changed})
    assert [line.split(" (")[0] for line in lines] == ["id 2", "id 1"]
    assert reused_ids(old, {**old, 3: changed}) == []


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(f for f in schema["fields"] if f["name"] == name)
    return found


def add_required(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "brand", "type": "string"})


def remove_required(schema: dict[str, Any]) -> None:
    schema["fields"].remove(field(schema, "user_id"))


def rename(schema: dict[str, Any]) -> None:
    field(schema, "user_id")["name"] = "user"


def retype(schema: dict[str, Any]) -> None:
    field(schema, "id")["type"] = "long"


def make_nullable(schema: dict[str, Any]) -> None:
    field(schema, "id")["type"] = ["null", "string"]


def make_required(schema: dict[str, Any]) -> None:
    field(schema, "campaign_id")["type"] = "string"


def rename_record(schema: dict[str, Any]) -> None:
    schema["name"] = "Sent"


def microseconds(schema: dict[str, Any]) -> None:
    field(schema, "time")["type"]["logicalType"] = "timestamp-micros"


def drop_symbol(schema: dict[str, Any]) -> None:
    field(schema, "channel")["type"]["symbols"].remove("SMS")


def break_it(schema: dict[str, Any]) -> None:
    field(schema, "id")["type"] = "text"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (add_required, "new readers, old records: brand"),
        (remove_required, "old readers, new records: user_id"),
        (rename, "new readers, old records: user"),
        (retype, "new readers, old records"),
        (make_nullable, "old readers, new records"),
        (make_required, "new readers, old records"),
        (rename_record, "expected: emberline.Send"),
        (microseconds, "time: logical type timestamp-millis became timestamp-micros"),
        (drop_symbol, "channel: symbols SMS are gone"),
        (break_it, "not a schema"),
    ],
)
def test_a_breaking_change_is_caught(change: Callable[[dict[str, Any]], None], says: str) -> None:
    changed = copy.deepcopy(registry.raw("send"))
    change(changed)
    assert any(says in line for line in problems(registry.raw("send"), changed))


def test_a_symbol_that_old_readers_cannot_take_is_caught() -> None:
    changed = copy.deepcopy(registry.raw("state"))
    field(changed, "state")["type"]["symbols"].append("FROZEN")
    assert problems(changed, registry.raw("state")) != []
    assert any("FROZEN" in line for line in problems(registry.raw("state"), changed))


def add_optional(schema: dict[str, Any]) -> None:
    schema["fields"].append({"name": "brand", "type": ["null", "string"], "default": None})


def add_symbol(schema: dict[str, Any]) -> None:
    field(schema, "channel")["type"]["symbols"].append("FAX")


def redocument(schema: dict[str, Any]) -> None:
    schema["doc"] = "Something else."


@pytest.mark.parametrize("change", [add_optional, add_symbol, redocument])
def test_a_good_change_passes(change: Callable[[dict[str, Any]], None]) -> None:
    changed = copy.deepcopy(registry.raw("send"))
    change(changed)
    assert problems(registry.raw("send"), changed) == []


def test_nested_changes_are_seen() -> None:
    changed = copy.deepcopy(registry.raw("report"))
    item = field(changed, "items")["type"]["items"]
    field(item, "phase")["type"]["symbols"].remove("seen")
    assert "items[].phase: symbols seen are gone" in problems(registry.raw("report"), changed)


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_schema_is_compatible_with_itself(name: str) -> None:
    assert problems(registry.raw(name), registry.raw(name)) == []
