"""Values of our frozen types from JSON: every field is checked against its annotation."""

from collections.abc import Hashable, Mapping
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["MALFORMED", "checked", "value_of"]

Kind = TypeVar("Kind")
_HUGE = 1 << 62

MALFORMED = (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError)
"""What the JSON of another form raises, here and where a value is made of it."""


def value_of(kind: type[Kind], plain: Mapping[str, Any]) -> Kind:
    """A value of one of our types; fields that only a later version knows are left out."""
    hints = _hints(cast(Hashable, kind))
    return checked(kind(**{name: value for name, value in plain.items() if name in hints}))


def checked(value: Kind) -> Kind:
    """A value after a check that every field has its type: a wrong type would stop the rules
    later.
    """
    for name, hint in _hints(cast(Hashable, type(value))).items():
        found = getattr(value, name)
        if not _fits(hint, found):
            raise ValueError(f"{name} {found!r:.80}")
    return value


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(hint: Any, value: object) -> bool:
    if hint is int:
        return type(value) is int and abs(value) < _HUGE
    if hint in (str, bool):
        return type(value) is hint
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(arm, value) for arm in get_args(hint))
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        first, *rest = get_args(hint)
        arms = [first] * len(value) if rest == [...] else [first, *rest]
        return len(value) == len(arms) and all(map(_fits, arms, value))
    return isinstance(value, origin or hint)
