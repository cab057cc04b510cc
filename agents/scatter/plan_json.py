"""Encodes a plan as JSON for the shards of another worker.

    {"now": ms, "pins": {source: version or null}, "tree": STEP}
    STEP  {"constant": bool} | {"both": [STEP]} | {"either": [STEP]} | {"rest": STEP}
        | {"leaf": [CLASS, {field: value}], "sources": [source] or null}

A span is `[after, before]` in milliseconds. CLASS can name only a class of leaves.
"""

from dataclasses import fields
from typing import Any

import orjson

from agents.filters import nodes
from agents.filters.errors import FilterError
from agents.filters.moments import Span
from agents.filters.nodes import Filter
from agents.filters.plan_nodes import (
    AllOf,
    AnyOf,
    Complement,
    Constant,
    FilterPlan,
    LeafQuery,
    PlanNode,
)
from schemas.errors import Recoverable

__all__ = ["MOST_BYTES", "BadPlan", "decode", "encode"]

_LEAVES: dict[str, type[Filter]] = {
    kind.__name__: kind
    for kind in (getattr(nodes, name) for name in nodes.__all__)
    if isinstance(kind, type)
    and issubclass(kind, Filter)
    # what a plan has expanded or refused
    and kind not in (nodes.InSegment, nodes.Opaque)
}


MOST_BYTES = 16 << 20
"""Of a plan."""


class BadPlan(Recoverable):
    """A plan that this version does not understand: the other worker has another version."""


def encode(plan: FilterPlan) -> bytes:
    """The parts of a plan that an evaluation needs; shards do not need the excluded sources.

    Raises FilterError (`too_large`) for a plan that no worker would accept.
    """
    # Segments repeat what they say: a long text of one of them is not written first, to be
    # measured, as often as it is named.
    if _letters(plan.tree) <= MOST_BYTES:
        content = {"now": plan.now_ms, "pins": plan.pins, "tree": _encoded(plan.tree)}
        data = orjson.dumps(content)
        if len(data) <= MOST_BYTES:
            return data
    raise FilterError(
        "$",
        "too_large",
        f"with its segments and the sources of its tags it is longer than {MOST_BYTES:,} bytes",
        remedy="Ask in parts, or by tags that fewer sources have",
    )


def _letters(step: PlanNode) -> int:
    match step:
        case AllOf(parts) | AnyOf(parts):
            return sum(map(_letters, parts))
        case Complement(part):
            return _letters(part)
        case LeafQuery(leaf, sources):
            values = (getattr(leaf, each.name) for each in fields(leaf))
            texts = (value for value in values if isinstance(value, str))
            return sum(map(len, texts)) + sum(map(len, sources or ()))
    return 0


def decode(data: bytes) -> FilterPlan:
    """The plan that `encode` wrote. Raises BadPlan."""
    try:
        found = orjson.loads(data)
        pins = {_text(key): _version(version) for key, version in found["pins"].items()}
        return FilterPlan(_step(found["tree"]), int(found["now"]), pins)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadPlan(
            f"a plan of another worker cannot be read: {error!r}",
            remedy="Run the same version everywhere",
        ) from error


def _encoded(step: PlanNode) -> dict[str, Any]:
    match step:
        case Constant(everybody):
            return {"constant": everybody}
        case AllOf(parts):
            return {"both": [_encoded(part) for part in parts]}
        case AnyOf(parts):
            return {"either": [_encoded(part) for part in parts]}
        case Complement(part):
            return {"rest": _encoded(part)}
        case LeafQuery(leaf, sources):
            values = {each.name: getattr(leaf, each.name) for each in fields(leaf)}
            for name, value in values.items():
                if isinstance(value, Span):
                    values[name] = value.bounds()
            return {"leaf": [type(leaf).__name__, values], "sources": sources}


def _step(content: dict[str, Any]) -> PlanNode:
    if "constant" in content:
        return Constant(bool(content["constant"]))
    if "both" in content:
        return AllOf(tuple(map(_step, content["both"])))
    if "either" in content:
        return AnyOf(tuple(map(_step, content["either"])))
    if "rest" in content:
        return Complement(_step(content["rest"]))
    name, values = content["leaf"]
    sources = content["sources"]
    leaf = _LEAVES[name](**{field: _value(value) for field, value in values.items()})
    return LeafQuery(leaf, None if sources is None else tuple(map(_text, sources)))


def _value(value: Any) -> Any:
    if isinstance(value, list):
        after, before = value
        return Span(_version(after), _version(before))
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value).__name__} is no argument of a filter")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


def _version(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError(f"{value!r} is no number")
    return value
