"""Reads the arguments of one leaf and checks each."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, get_args

from agents.filters.errors import FilterError
from agents.filters.moments import Moment, Span, moment
from agents.filters.nodes import Action, By, Comparator
from agents.filters.references import KEY_KINDS, qualify
from schemas.tables.interaction import CHANNELS
from schemas.words.nearest import hint

__all__ = ["Arguments"]

_COMPARATORS: Mapping[str, Comparator] = {
    **{sign: sign for sign in get_args(Comparator)},
    "==": "=",
    "eq": "=",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "lte": "<=",
    "gt": ">",
    "ge": ">=",
    "gte": ">=",
}
_Word = TypeVar("_Word", Action, By)


class Arguments:
    """The arguments of the leaf at `path`. Null counts as absent.

    Every reader raises FilterError for a value that it does not accept; `finish` raises it for an
    argument that no reader has read.
    """

    def __init__(self, node: Mapping[str, Any], name: str, path: str) -> None:
        self._node = node
        self._name = name
        self._path = path
        self._asked = ["filter"]

    def has(self) -> bool:
        """`has`, true if it is absent."""
        value = self._value("has")
        if value is not None and not isinstance(value, bool):
            raise self._bad("has", value, "Use true or false")
        return value is not False

    def key(self, kind: str) -> str:
        """The full key of the campaign, Canvas or segment that the argument `kind` names."""
        name = self.text(kind)
        prefix, colon, rest = name.partition(":")
        foreign = colon and prefix in KEY_KINDS and (prefix != kind or not rest)
        if foreign:
            raise self._bad(kind, name, f"Name a {kind} by its id or as {kind}:ID")
        return qualify(kind, name)

    def text(self, name: str) -> str:
        """A required text."""
        value = self.optional_text(name)
        if value is None:
            raise self._missing(name)
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, or None."""
        value = self._value(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self._bad(name, value, "Use a text that is not empty")
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self._bad(name, value, "Use a text of whole Unicode characters")
        return value

    def channel(self) -> str | None:
        """A channel, in any case, or None."""
        value = self.optional_text("channel")
        if value is None or value.upper() in CHANNELS:
            return value and value.upper()
        raise self._bad("channel", value, hint(value, CHANNELS))

    def action(self) -> Action:
        """The action of the user on a message."""
        return self._word("action", self.text("action"), get_args(Action))

    def by(self) -> By:
        """Whether a person, a machine, or either of them engaged."""
        return self._word("by", self.optional_text("by") or "any", get_args(By))

    def index(self) -> int | None:
        """A conversion's index, 0 if it is absent; None for `any`."""
        value = self._value("index")
        if value is None:
            return 0
        if value == "any":
            return None
        if type(value) is not int or not 0 <= value <= 3:
            raise self._bad("index", value, 'Use 0, 1, 2, 3 or "any"')
        return value

    def comparison(self) -> tuple[Comparator, int]:
        """`comparator` and `n` of a count."""
        sign = self.text("comparator")
        if sign not in _COMPARATORS:
            raise self._bad("comparator", sign, f"Use one of {', '.join(get_args(Comparator))}")
        n = self._value("n")
        if n is None:
            raise self._missing("n")
        if type(n) is not int or not 0 <= n < 2**63:
            raise self._bad("n", n, "Use a whole number that is not negative")
        comparator = _COMPARATORS[sign]
        if comparator == "<" and n == 0:
            detail = "no count is less than 0"
            raise FilterError(
                self._path, "impossible_range", detail, remedy="Use `=` 0, or a larger n"
            )
        return comparator, n

    def span(self, bounds: Literal["any", "one at most", "required"]) -> Span:
        """`after` and `before`; `bounds` says how many of them the filter takes."""
        found = Span(self._moment("after"), self._moment("before")).checked(self._path)
        if bounds == "required" and not found:
            detail = f"{self._name} without a bound says nothing"
            raise FilterError(self._path, "no_bound", detail, remedy="Add `after` or `before`")
        if bounds == "one at most" and found.after is not None and found.before is not None:
            detail = f"{self._name} cannot be decided with both `after` and `before`"
            remedy = "Keep one of them; a last_received filter takes both"
            raise FilterError(self._path, "both_bounds", detail, remedy=remedy)
        return found

    def finish(self) -> None:
        """Raise FilterError for an argument that no reader has read."""
        for name in self._node:
            if name not in self._asked:
                raise FilterError(
                    f"{self._path}.{name}",
                    "unknown_argument",
                    f"{self._name} has no argument {name!r}",
                    remedy=hint(name, self._asked[1:], before="It takes"),
                )

    def _moment(self, name: str) -> Moment | None:
        value = self._value(name)
        return None if value is None else moment(value, f"{self._path}.{name}")

    def _word(self, name: str, value: str, allowed: tuple[_Word, ...]) -> _Word:
        for word in allowed:
            if word == value:
                return word
        raise self._bad(name, value, hint(value, allowed))

    def _value(self, name: str) -> Any:
        self._asked.append(name)
        return self._node.get(name)

    def _missing(self, name: str) -> FilterError:
        detail = f"{self._name} needs {name!r}"
        return FilterError(self._path, "missing_argument", detail, remedy=f"Add {name!r}")

    def _bad(self, name: str, value: object, remedy: str) -> FilterError:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        detail = f"{shown} is no {name!r} for {self._name}"
        return FilterError(f"{self._path}.{name}", "bad_argument", detail, remedy=remedy)
