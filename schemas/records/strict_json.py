"""JSON that has one meaning: no name twice in an object, no NaN, no Infinity, no depth without end.

Python's own reader takes the last of two members with one name, and another program the first: the
two would then see different records.
"""

import json
from typing import Any, NoReturn

__all__ = ["is_deeper", "is_text", "loads"]

_DEEPEST = 500
"""Lists and objects within each other. Versions of Python differ in how many they read."""


def loads(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is too deep") from error
    if text.count("[") + text.count("{") > _DEEPEST and is_deeper(found, _DEEPEST + 1):
        raise ValueError("it is too deep")
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _no_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is no number of JSON")


def is_deeper(value: object, levels: int) -> bool:
    """Whether there are more than so many levels in a value of JSON; the value itself is one, and
    so is what lists and objects hold.
    """
    level = [value]
    for _ in range(levels):
        level = [
            part
            for one in level
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: JSON can spell half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
