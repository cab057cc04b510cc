"""Checks writers' schemas from other places before they are used for reading.

A schema can make a reader work without end: an array of items of zero bytes may claim 2^62 items;
types that reference each other double with every level; a recursive type is read as deep as the
bytes say. Such schemas are refused, so that the cost of reading a record is limited to a multiple
of its size, whatever schema the registry returns.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

from schemas.records import strict_json

__all__ = ["BadSchema", "check", "inlined", "names", "parsed"]

CHARACTERS = 500_000
DEPTH = 40
"""Levels of a schema, with the types it names in their places."""
PARTS = 5_000
"""Types in a schema, with the types it names in their places."""
EMPTY_PARTS = 16
"""Of them those that take no bytes, in a record or in one item of an array or map."""
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_REPEATED = frozenset({"array", "map"})


class BadSchema(Exception):
    """A schema that must not be used for reading; the text says why."""


@dataclass(slots=True)
class _Cost:
    """The cost of a type with all parts: number of parts, number of parts of zero bytes, least
    bytes.
    """

    parts: int = 0
    empty: int = 0
    least: int = 0

    def add(self, other: "_Cost") -> None:
        self.parts += other.parts
        self.empty += other.empty
        self.least += other.least


def parsed(text: str) -> Any:
    """The JSON of a schema. Raises BadSchema if it is too long or too deep, or is no JSON."""
    if len(text) > CHARACTERS:
        raise BadSchema(f"{len(text)} characters are more than {CHARACTERS}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSchema(f"no JSON: {error!s:.200}") from error
    if strict_json.is_deeper(found, 4 * DEPTH):
        raise BadSchema(f"deeper than {4 * DEPTH} levels of JSON")
    return found


def check(schema: Any) -> None:
    """Raise BadSchema for a schema that Avro does not allow, or that costs too much to read
    with.
    """
    try:
        fastavro.parse_schema(json.loads(json.dumps(schema)))
        empty = _Costs().of(schema, "", 1, frozenset()).empty
    except (SchemaParseException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSchema(f"no valid schema: {type(error).__name__} {error!s:.200}") from error
    if empty > EMPTY_PARTS:
        raise BadSchema(f"more than {EMPTY_PARTS} parts that take no bytes")


def inlined(schema: Any, others: Mapping[str, Any]) -> Any:
    """The schema, with the types of `others` (full name -> schema) inserted where they are used.

    Avro defines a type at its first use; a schema with references defines it elsewhere.
    """
    return _Inliner(others).of(schema, "")


def names(schema: Any) -> Iterator[tuple[str, Any]]:
    """The named types that a schema defines, by full name, each with an explicit namespace."""
    waiting: list[tuple[Any, str]] = [(schema, "")]
    while waiting:
        one, namespace = waiting.pop()
        if isinstance(one, list):
            waiting += [(branch, namespace) for branch in one]
        elif isinstance(one, dict):
            if isinstance(one.get("name"), str) and not isinstance(one.get("type"), dict | list):
                full, namespace = _full_name(one["name"], one.get("namespace"), namespace)
                yield full, {**one, "name": full.rpartition(".")[2], "namespace": namespace}
            fields = one.get("fields")
            waiting += [
                (field.get("type"), namespace)
                for field in (fields if isinstance(fields, list) else ())
                if isinstance(field, dict)
            ]
            waiting += [(one[part], namespace) for part in ("type", "items", "values")
                        if isinstance(one.get(part), dict | list)]  # fmt: skip


def _full_name(name: str, own: Any, around: str) -> tuple[str, str]:
    """(full name, namespace within)."""
    if "." in name:
        return name, name.rpartition(".")[0]
    namespace = own if isinstance(own, str) else around
    return (f"{namespace}.{name}" if namespace else name), namespace


class _Costs:
    """Sums the parts of a schema; a named type is computed once and added wherever it is used."""

    def __init__(self) -> None:
        self._known: dict[str, _Cost] = {}

    def of(self, schema: Any, namespace: str, depth: int, within: frozenset[str]) -> _Cost:
        if depth > DEPTH:
            raise BadSchema(f"deeper than {DEPTH} types")
        cost = self._of(schema, namespace, depth, within)
        if cost.parts > PARTS:
            raise BadSchema(f"more than {PARTS} types, with those it names in their places")
        return cost

    def _of(self, schema: Any, namespace: str, depth: int, within: frozenset[str]) -> _Cost:
        if isinstance(schema, list):
            branches = [self.of(branch, namespace, depth + 1, within) for branch in schema]
            # of the branches one is read, after one byte at least
            return _Cost(1 + sum(cost.parts for cost in branches), 0, 1)
        if isinstance(schema, str):
            return self._named(schema, namespace, within)
        kind = schema["type"]
        if kind in _REPEATED:
            items = self.of(
                schema["items" if kind == "array" else "values"], namespace, depth + 1, within
            )
            least = items.least + (kind == "map")
            if not least:
                raise BadSchema(f"{kind} of items that take no bytes")
            if items.empty > EMPTY_PARTS:
                raise BadSchema(f"{kind} of items with more than {EMPTY_PARTS} empty parts")
            return _Cost(1 + items.parts, 0, 1)
        if kind == "fixed":
            size = schema.get("size", 0)
            cost = _Cost(1, 0 if size else 1, min(size, CHARACTERS))
        elif kind == "enum":
            cost = _Cost(1, 0, 1)
        elif kind in ("record", "error"):
            return self._record(schema, namespace, depth, within)
        else:
            return self.of(kind, namespace, depth + 1, within)
        self._known[_full_name(schema["name"], schema.get("namespace"), namespace)[0]] = cost
        return cost

    def _record(self, schema: Any, namespace: str, depth: int, within: frozenset[str]) -> _Cost:
        full, inside = _full_name(schema["name"], schema.get("namespace"), namespace)
        cost = _Cost(1)
        for field in schema["fields"]:
            cost.add(self.of(field["type"], inside, depth + 1, within | {full}))
            if cost.parts > PARTS:
                break
        cost.empty += not cost.least
        self._known[full] = cost
        return cost

    def _named(self, name: str, namespace: str, within: frozenset[str]) -> _Cost:
        if name in _PRIMITIVES:
            return _Cost(1, name == "null", name != "null")
        for full in (name, f"{namespace}.{name}"):
            if full in within:
                raise BadSchema(f"{full[:80]} lies within itself")
            if full in self._known:
                return self._known[full]
        raise BadSchema(f"{name[:80]} is not defined before it is used")


class _Inliner:
    def __init__(self, others: Mapping[str, Any]) -> None:
        self._others = others
        self._defined: set[str] = set()

    def of(self, schema: Any, namespace: str, depth: int = 0) -> Any:
        if depth > 4 * DEPTH:
            raise BadSchema("types of other schemas lie within each other")
        if isinstance(schema, list):
            return [self.of(branch, namespace, depth + 1) for branch in schema]
        if isinstance(schema, str):
            return self._named(schema, namespace, depth)
        if not isinstance(schema, dict):
            return schema
        found = dict(schema)
        if isinstance(schema.get("name"), str):
            full, namespace = _full_name(schema["name"], schema.get("namespace"), namespace)
            self._defined.add(full)
        for part in ("items", "values"):
            if part in found:
                found[part] = self.of(found[part], namespace, depth + 1)
        if isinstance(found.get("type"), dict | list):
            found["type"] = self.of(found["type"], namespace, depth + 1)
        if isinstance(found.get("fields"), list):
            found["fields"] = [
                {**field, "type": self.of(field.get("type"), namespace, depth + 1)}
                if isinstance(field, dict)
                else field
                for field in found["fields"]
            ]
        return found

    def _named(self, name: str, namespace: str, depth: int) -> Any:
        if name in _PRIMITIVES:
            return name
        for full in (f"{namespace}.{name}" if namespace and "." not in name else name, name):
            if full in self._defined:
                return full
            if full in self._others:
                return self.of(self._others[full], "", depth + 1)
        return name
