"""Values of the changelog that are JSON objects."""

import json
from dataclasses import fields
from typing import Any, TypeVar

__all__ = ["stored_value"]

_Kind = TypeVar("_Kind")


def stored_value(kind: type[_Kind], value: bytes) -> _Kind:
    """The dataclass that a value describes. Fields that only a later version knows are left out.

    Raises ValueError or TypeError unless every known field has its type.
    """
    found = json.loads(value)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    parts = fields(kind)  # type: ignore[arg-type]  # mypy does not see that it is a dataclass
    named: dict[str, Any] = {each.name: found[each.name] for each in parts if each.name in found}
    made = kind(**named)
    for each in parts:
        if type(getattr(made, each.name)) is not each.type:
            raise ValueError(f"{each.name} is of another type")
    return made
