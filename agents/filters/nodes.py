"""A filter as typed nodes. `path` and `name` say where a leaf stands and how it was called.

A leaf's `has` is part of it: `has: false` is the complement within the leaf's domain, `Not`
the complement within the roster.
"""

from dataclasses import dataclass, field
from typing import Literal

from agents.filters.moments import ALWAYS, Span

__all__ = [
    "Action",
    "And",
    "By",
    "ClickedAlias",
    "ClickedAliasAnywhere",
    "ClickedOpened",
    "ClickedOpenedWithTag",
    "Comparator",
    "Converted",
    "EnteredVariation",
    "Fact",
    "FactKind",
    "FeedViews",
    "Filter",
    "InControlGroup",
    "InSegment",
    "LastEngaged",
    "LastEnrolledInControlGroup",
    "LastKeyword",
    "LastReceived",
    "LastReceivedAnywhere",
    "LastReceivedWithTag",
    "LastViewedFeed",
    "NeverReceived",
    "Node",
    "Not",
    "Opaque",
    "Or",
    "ProfileFilter",
    "Received",
    "ReceivedVariant",
    "ReceivedWithTag",
    "SourceFilter",
    "TagFilter",
]

Action = Literal["opened", "opened_machine", "opened_person", "clicked", "any"]
By = Literal["person", "machine", "any"]
Comparator = Literal["<", "<=", "=", "!=", ">=", ">"]
FactKind = Literal["feature_flag", "hard_bounce", "spam_report", "invalid_phone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What every leaf has. `path` takes no part in comparison."""

    name: str
    has: bool = True
    path: str = field(default="$", compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All of them; the roster where there are none."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them; nobody where there are none."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The rest of the roster."""

    part: "Node"


Node = And | Or | Not | Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(Filter):
    """A leaf that nobody here knows: kept for the coordinator, refused in queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InSegment(Filter):
    """The filters of a segment (full key)."""

    segment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFilter(Filter):
    """Rests on the interactions of one source (full key)."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedAlias(SourceFilter):
    """Clicked that alias, any click where none is named; in a step, where one is named."""

    step: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedOpened(SourceFilter):
    """Opened or clicked a message of the source, of the step where one is named."""

    action: Action
    step: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted(SourceFilter):
    """Converted on the event of that index, on any where it is None; not in the control group."""

    index: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnteredVariation(SourceFilter):
    """Entered that variation of a Canvas, any where none is named."""

    variation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InControlGroup(SourceFilter):
    """Was held out. The domain of `has: false` is the users who entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReceived(SourceFilter):
    """The last receipt lies in the span; false for who never received."""

    span: Span
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(SourceFilter):
    """Received, at some time on that side of the bound; the span has one bound at most."""

    span: Span = ALWAYS
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedVariant(SourceFilter):
    """Received that variation."""

    variation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFilter(Filter):
    """Rests on the interactions of every source that has the tag now."""

    tag: str
    span: Span = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWithTag(TagFilter):
    """Received from any of them; the span has one bound at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedOpenedWithTag(TagFilter):
    """Opened or clicked a message of any of them; the span has one bound at most."""

    action: Action
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReceivedWithTag(TagFilter):
    """The last receipt from any of them lies in the span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFilter(Filter):
    """Rests on the profile-wide table, which never expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReceivedAnywhere(ProfileFilter):
    """The last receipt, on that channel where one is set, lies in the span."""

    span: Span
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverReceived(ProfileFilter):
    """In the roster, and nothing was ever received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEngaged(ProfileFilter):
    """The last open or click lies in the span."""

    span: Span
    channel: str | None = None
    by: By = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedAliasAnywhere(ProfileFilter):
    """Clicked that alias in any message."""

    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastViewedFeed(ProfileFilter):
    """The last view of the feed lies in the span."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnrolledInControlGroup(ProfileFilter):
    """The last time the user was held out from any campaign lies in the span."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LastKeyword(ProfileFilter):
    """The last inbound keyword of that category lies in the span.

    With a subscription group only those that name it: the signal's value is `CATEGORY` or
    `CATEGORY:GROUP`.
    """

    span: Span
    category: str
    subscription_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(ProfileFilter):
    """Set, and not cleared since; `value` None: whatever the signal's value."""

    kind: FactKind
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedViews(ProfileFilter):
    """How often the feed was viewed; 0 for users without a view."""

    comparator: Comparator
    n: int
