"""The plan by which records of a producer's own schema become our columns, by the topic's mapping.

Which mapping, and whether it fits, is decided once for each schema id. A record that is ours by
its schema stays ours, also on a topic with a mapping.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import fastavro
import polars as pl

from schemas.decode.plan import DecodePlan, Fault, plan
from schemas.mapping.convert import columns_of, converted, hashed, meaning, numbered
from schemas.mapping.field_types import field_types, is_enum
from schemas.mapping.fit import mismatches
from schemas.mapping.producer import ProducerColumn, ProducerSchema, full_name, producer_schema
from schemas.mapping.rule import From, Hashed, Rule
from schemas.mapping.topics import TopicMapping
from schemas.records import registry
from schemas.records.registry import SchemaSource, UnknownSchema

__all__ = ["MappedSchema", "fields_and_faults", "json_mapping", "plan_of", "resolved"]

_SHOWN = 80
_ZERO_BYTES = {"float": 4, "double": 8}


@dataclass(frozen=True, slots=True, eq=False)
class MappedSchema:
    """What a schema id means on a topic with mappings. `refusal` says why no such record can be
    mapped; it is empty if they can. Without `plan` the records are read one by one, by
    `parsed`. `units` are those of times, by column.
    """

    mapping: TopicMapping
    parsed: Any
    plan: DecodePlan | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""


def plan_of(
    kind: str, schema_id: int, source: SchemaSource, mappings: tuple[TopicMapping, ...]
) -> DecodePlan | None:
    """The plan for records of `kind` written with `schema_id`, or None if there is none.

    Raises Recoverable if `source` does not answer.
    """
    try:
        found = resolved(kind, schema_id, source, mappings) if mappings else None
    except UnknownSchema:
        return None
    return plan(kind, schema_id, source) if found is None else found.plan


@lru_cache(maxsize=256)
def resolved(
    kind: str, schema_id: int, source: SchemaSource, mappings: tuple[TopicMapping, ...]
) -> MappedSchema | None:
    """What the schema id means; None if its records are ours. Raises UnknownSchema, and Recoverable
    if `source` does not answer.
    """
    if schema_id in registry.OWN_IDS:
        return None
    given = next((one for one in mappings if schema_id in one.writers), None)
    writer = source.writer(schema_id) if given is None else given.writers[schema_id]
    mapping = given or _mapping_of(kind, writer, mappings)
    if mapping is None:
        return None
    parsed = fastavro.parse_schema(registry.without(writer, {"logicalType", "default", "aliases"}))
    schema = producer_schema(writer)
    if wrong := mismatches(mapping, schema):
        refusal = f"schema id {schema_id}: {wrong[0].field}: {wrong[0].what}"
        return MappedSchema(mapping, parsed, refusal=refusal)
    whole = schema.whole and kind != "user"
    units = {path: one.unit for path, one in schema.columns.items() if one.unit}
    return MappedSchema(
        mapping, parsed, _plan(mapping.rule, schema, units) if whole else None, units
    )


def json_mapping(mappings: tuple[TopicMapping, ...]) -> TopicMapping | None:
    """The mapping of JSON, if there is one."""
    return next((one for one in mappings if one.json), None)


def fields_and_faults(
    rule: Rule,
    types: Mapping[str, pl.DataType],
    column: Callable[[str], pl.Expr] = pl.col,
    units: Mapping[str, str] | None = None,
) -> tuple[dict[str, pl.Expr], dict[str, tuple[Fault, ...]]]:
    """Each of our fields as an expression over foreign columns of these types, and what may be
    wrong with it. `units` are those of times, by column, where the mapping gives none.
    """
    fields: dict[str, pl.Expr] = {}
    faults: dict[str, tuple[Fault, ...]] = {}
    for one in registry.raw(rule.kind)["fields"]:
        name = one["name"]
        kind = field_types(rule.kind)[name]
        value = rule.fields.get(name, one.get("default"))
        found: list[Fault] = []
        if isinstance(value, From):
            value = _timed(value, units or {})
            made = converted(kind, value, types, column)
            expression = made.value
            if made.bad is not None:
                found.append(_unmapped(name, value, kind, made.bad, column))
            if "default" not in one:
                missing = pl.lit(f"{name} has no value: {value.column} is null or absent")
                found.append(Fault(made.value.is_null(), "missing_field", missing))
            elif one["default"] is not None:
                expression = expression.fill_null(pl.lit(one["default"], kind))
        elif isinstance(value, Hashed):
            expression = hashed(value, types, numbered, column)
        else:
            expression = pl.lit(value, kind)
        fields[name] = expression.alias(name)
        faults[name] = tuple(found)
    return fields, faults


def _timed(value: From, units: Mapping[str, str]) -> From:
    """With the unit that the producer's schema gives."""
    time = value.time
    if time is None or time.unit or time.format:
        return value
    form = type(time)(units.get(value.column, "ms"), "", time.zone)
    return From(value.column, value.values, value.absent, form, value.rather, value.behind)


def _unmapped(
    name: str, value: From, kind: pl.DataType, bad: pl.Expr, column: Callable[[str], pl.Expr]
) -> Fault:
    shown = column(value.column).cast(pl.String, strict=False).str.slice(0, _SHOWN).fill_null("?")
    what = meaning(name, value, kind)
    text = pl.format(f"{name}: column {_braced(value.column)}: '{{}}' is no {_braced(what)}", shown)
    return Fault(bad, "unmapped", text)


def _braced(text: str) -> str:
    """For a format of Polars, which has no way to write a brace."""
    return text.replace("{", "(").replace("}", ")")


def _mapping_of(
    kind: str, writer: Mapping[str, Any], mappings: tuple[TopicMapping, ...]
) -> TopicMapping | None:
    name = full_name(writer)
    ours = registry.record_name(name) == kind
    if ours and registry.layout(writer) == registry.layout(registry.raw(kind)):
        return None
    named = next((one for one in mappings if one.names and one.takes(name)), None)
    if named is not None or ours:
        return named
    return next((one for one in mappings if not one.names), None)


def _plan(rule: Rule, schema: ProducerSchema, units: Mapping[str, str]) -> DecodePlan:
    places = {path: f"f{place}" for place, path in enumerate(schema.columns)}
    columns = schema.columns

    def column(path: str) -> pl.Expr:
        place = pl.col(places[path])
        kind = columns[path].type
        if not is_enum(kind):
            return place
        # strict: another position is an error here
        symbols: dict[Any, Any] = {**dict(enumerate(kind["symbols"])), None: None}
        return place.replace_strict(symbols, return_dtype=pl.String)

    types = {path: one.column_type for path, one in columns.items()}
    fields, faults = fields_and_faults(rule, types, column, units)
    needs = {
        name: tuple(places[path] for path in columns_of(rule.fields[name]))
        if name in rule.fields
        else ()
        for name in fields
    }
    return DecodePlan(
        wire=tuple(_wire(places[path], one) for path, one in columns.items()),
        columns=fields,
        needs=needs,
        zeros=b"".join(_zero(one) for one in columns.values()),
        accepts={
            places[path]: range(len(one.type["symbols"]))
            for path, one in columns.items()
            if is_enum(one.type)
        },
        faults={name: found for name, found in faults.items() if found},
        names={places[path]: path for path in columns},
    )


def _wire(place: str, column: ProducerColumn) -> Mapping[str, Any]:
    kind: Any = column.wire
    if column.null is not None:
        kind = ["null", kind] if column.null == 0 else [kind, "null"]
    return {"name": place, "type": kind}


def _zero(column: ProducerColumn) -> bytes:
    value = b"\x00" * _ZERO_BYTES.get(column.wire or "", 1)
    if column.null is None:
        return value
    return b"\x00" if column.null == 0 else b"\x00" + value
