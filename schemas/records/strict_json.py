"""JSON that has one meaning: no name twice in an object, no NaN, no Infinity, no depth without end.

Python's own reader takes the last of two members with one name, and another program the first: the
two would then see different records.
"""

import json
from typing import Any, NoReturn

__all__ = ["is_text", "loads"]


def loads(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is too deep") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _no_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is no number of JSON")


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: JSON can spell half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
