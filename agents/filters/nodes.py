"""A filter as typed nodes. `path` and `name` are the position and the filter name of a leaf.

A leaf includes its `has`: `has: false` is the complement within the leaf's domain, `Not` the
complement within the roster.
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
    """The fields of every leaf. `path` is ignored in comparisons."""

    name: str
    has: bool = True
    path: str = field(default="$", compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """Users who match all of them; the whole roster if there are none."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Users who match any of them; no user if there are none."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The rest of the roster."""

    part: "Node"


Node = And | Or | Not | Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(Filter):
    """A leaf of an unknown filter: kept for the coordinator, refused in queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InSegment(Filter):
    """The filters of a segment (full key)."""

    segment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFilter(Filter):
    """Uses the interactions of one source (full key)."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedAlias(SourceFilter):
    """Clicked that alias, or any alias if none is named; in that step, if one is named."""

    step: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedOpened(SourceFilter):
    """Opened or clicked a message of the source; of that step, if one is named."""

    action: Action
    step: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted(SourceFilter):
    """Converted on the event of that index, or on any if it is None; not in the control group."""

    index: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnteredVariation(SourceFilter):
    """Entered that variation of a Canvas, or any if none is named."""

    variation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InControlGroup(SourceFilter):
    """Was in the control group. The domain of `has: false` are the users who entered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReceived(SourceFilter):
    """The last receipt is in the span; false for users without a receipt."""

    span: Span
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received(SourceFilter):
    """Received at some time on that side of the bound; the span has at most one bound."""

    span: Span = ALWAYS
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedVariant(SourceFilter):
    """Received that variation."""

    variation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFilter(Filter):
    """Uses the interactions of every source that has the tag now."""

    tag: str
    span: Span = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWithTag(TagFilter):
    """Received from any of them; the span has at most one bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedOpenedWithTag(TagFilter):
    """Opened or clicked a message of any of them; the span has at most one bound."""

    action: Action
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReceivedWithTag(TagFilter):
    """The last receipt from any of them is in the span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFilter(Filter):
    """Uses the profile-wide table, which never expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReceivedAnywhere(ProfileFilter):
    """The last receipt, on that channel if one is set, is in the span."""

    span: Span
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverReceived(ProfileFilter):
    """In the roster, and without any receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEngaged(ProfileFilter):
    """The last open or click is in the span."""

    span: Span
    channel: str | None = None
    by: By = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickedAliasAnywhere(ProfileFilter):
    """Clicked that alias in any message."""

    alias: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LastViewedFeed(ProfileFilter):
    """The last view of the feed is in the span."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEnrolledInControlGroup(ProfileFilter):
    """The last time that the user entered a campaign's control group is in the span."""

    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LastKeyword(ProfileFilter):
    """The last inbound keyword of that category is in the span.

    With a subscription group only keywords of that group count: the signal's value is `CATEGORY` or
    `CATEGORY:GROUP`.
    """

    span: Span
    category: str
    subscription_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(ProfileFilter):
    """Set, and not cleared since; `value` None: any value of the signal."""

    kind: FactKind
    value: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedViews(ProfileFilter):
    """Compares the number of feed views, which is 0 for users without a view."""

    comparator: Comparator
    n: int
