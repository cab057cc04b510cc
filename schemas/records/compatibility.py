"""Finds what would break if one schema replaced another.

Programs are not upgraded at the same moment: records of the old schema are read with the new one
(kept topics, old producers), and the other way round (old consumers, two versions of the worker
side by side). So a change must be compatible both ways.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema, parse

from schemas.records import registry

__all__ = ["problems", "reused_ids"]

Raw = Mapping[str, Any]


def problems(old: Raw, new: Raw) -> list[str]:
    """Return the reasons why the change from `old` to `new` is breaking, one line each; [] is good.

    Beyond Avro's own rules it reports an enum symbol that is removed (readers would silently take
    the default), and a logical type that changes (milliseconds to microseconds).
    """
    try:
        before, after = parse(json.dumps(old)), parse(json.dumps(new))
    except AvroException as error:
        return [f"not a schema: {error}"]
    return [
        *_cannot_read("new readers, old records", after, before),
        *_cannot_read("old readers, new records", before, after),
        *_changed_meaning(dict(_leaves(old)), dict(_leaves(new))),
    ]


def reused_ids(old: Mapping[int, Raw], new: Mapping[int, Raw]) -> list[str]:
    """Return the ids of `old` that `new` lacks or uses for another schema, one line each.

    Takes id -> schema of two releases. Records outlive releases, so an id keeps its meaning.
    """
    lines = [f"id {i} ({old[i]['name']}) is gone" for i in sorted(old.keys() - new.keys())]
    return lines + [
        f"id {i} ({old[i]['name']}) has other bytes now: give the new schema a new id"
        for i in sorted(old.keys() & new.keys())
        if registry.layout(old[i]) != registry.layout(new[i])
    ]


def _cannot_read(who: str, reader: Schema, writer: Schema) -> list[str]:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    where = ", ".join(sorted(result.locations))
    return [f"{who}: {message} (at {where})" for message in sorted(result.messages)]


def _changed_meaning(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for path in sorted(old.keys() & new.keys()):
        gone = set(old[path].get("symbols", ())) - set(new[path].get("symbols", ()))
        if gone:
            yield f"{path}: symbols {', '.join(sorted(gone))} are gone"
        before, after = (side[path].get("logicalType") for side in (old, new))
        if before != after:
            yield f"{path}: logical type {before} became {after}"


def _leaves(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, attributes) of every enum and primitive that has attributes or could have."""
    if isinstance(schema, str):
        yield path, {}
    elif isinstance(schema, list):
        for branch in schema:
            if branch != "null":
                yield from _leaves(branch, path)
    elif schema["type"] == "record":
        for field in schema["fields"]:
            yield from _leaves(field["type"], f"{path}.{field['name']}".lstrip("."))
    elif schema["type"] == "array":
        yield from _leaves(schema["items"], f"{path}[]")
    else:
        yield path, schema
