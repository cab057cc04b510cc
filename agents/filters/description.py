"""What each filter takes, as data: read from the readers of `vocabulary` themselves.

A reader is called with arguments that answer every question with a value that fits, and write down
what was asked. So a form that is made from the description offers what the parser accepts.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from agents.filters import nodes
from agents.filters.arguments import Arguments
from agents.filters.moments import Span
from agents.filters.nodes import Action, By, Comparator, Filter
from agents.filters.vocabulary import VOCABULARY
from schemas.tables.interaction import CHANNELS

__all__ = ["About", "Bounds", "FieldType", "FilterDescription", "FilterField", "described", "facts"]

FieldType = Literal["campaign", "canvas", "segment", "text", "choice", "number", "moment"]
"""`campaign`, `canvas` and `segment` are the key or the id of one; `choice` is one of `values`."""
About = Literal["source", "tag", "user", "segment"]
Bounds = Literal["one at most", "one at least"]
"""How many of `after` and `before` a filter takes."""

_KINDS: dict[str, FieldType] = {"campaign": "campaign", "canvas": "canvas", "segment": "segment"}


@dataclass(frozen=True, slots=True)
class FilterField:
    """One argument. `default` counts where the argument is absent and not required."""

    name: str
    type: FieldType
    required: bool
    values: tuple[str | int, ...] = ()
    default: str | int | None = None


@dataclass(frozen=True, slots=True)
class FilterDescription:
    """One filter and its arguments, `has` left out: every filter takes it."""

    filter: str
    about: About
    fields: tuple[FilterField, ...]
    bounds: Bounds | None = None


@cache
def described() -> tuple[FilterDescription, ...]:
    """Every filter of the language, in the order of `VOCABULARY`."""
    return tuple(_describe(name) for name in VOCABULARY)


def _describe(name: str) -> FilterDescription:
    recorder = _Recorder(name)
    leaf = VOCABULARY[name](recorder, name, recorder.has(), "$")
    return FilterDescription(name, _about(leaf), tuple(recorder.fields), recorder.bounds)


def _about(leaf: Filter) -> About:
    match leaf:
        case nodes.SourceFilter():
            return "source"
        case nodes.TagFilter():
            return "tag"
        case nodes.InSegment():
            return "segment"
    return "user"


class _Recorder(Arguments):
    """Arguments that write down what a reader asks for."""

    def __init__(self, name: str) -> None:
        super().__init__({}, name, "$")
        self.fields: list[FilterField] = []
        self.bounds: Bounds | None = None

    def key(self, kind: str) -> str:
        self.fields.append(FilterField(kind, _KINDS[kind], required=True))
        return f"{kind}:x"

    def text(self, name: str) -> str:
        self.fields.append(FilterField(name, "text", required=True))
        return "x"

    def optional_text(self, name: str) -> str | None:
        self.fields.append(FilterField(name, "text", required=False))
        return None

    def channel(self) -> str | None:
        self.fields.append(FilterField("channel", "choice", False, tuple(CHANNELS)))
        return None

    def action(self) -> Action:
        self.fields.append(FilterField("action", "choice", True, get_args(Action)))
        return "any"

    def by(self) -> By:
        self.fields.append(FilterField("by", "choice", False, get_args(By), "any"))
        return "any"

    def index(self) -> int | None:
        self.fields.append(FilterField("index", "choice", False, (0, 1, 2, 3, "any"), 0))
        return 0

    def comparison(self) -> tuple[Comparator, int]:
        self.fields.append(FilterField("comparator", "choice", True, get_args(Comparator)))
        self.fields.append(FilterField("n", "number", True))
        return "=", 0

    def span(self, bounds: Literal["any", "one at most", "required"]) -> Span:
        kinds: dict[str, Bounds] = {"one at most": "one at most", "required": "one at least"}
        self.bounds = kinds.get(bounds)
        self.fields += [FilterField(name, "moment", required=False) for name in ("after", "before")]
        return Span(after=0)


def facts(one: FilterDescription) -> dict[str, Any]:
    """One filter as JSON."""
    return {
        "filter": one.filter,
        "about": one.about,
        "fields": [
            {
                "name": field.name,
                "type": field.type,
                "required": field.required,
                "values": list(field.values),
                "default": field.default,
            }
            for field in one.fields
        ],
        "bounds": one.bounds,
    }
