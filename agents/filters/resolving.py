"""Resolves periods to moments, against the one `now` of a query."""

from dataclasses import replace

from agents.filters.moments import Span
from agents.filters.nodes import (
    And,
    LastEngaged,
    LastEnrolledInControlGroup,
    LastKeyword,
    LastReceived,
    LastReceivedAnywhere,
    LastViewedFeed,
    Node,
    Not,
    Or,
    Received,
    TagFilter,
)

__all__ = ["resolve"]

_TIMED = (
    LastEngaged,
    LastEnrolledInControlGroup,
    LastKeyword,
    LastReceived,
    LastReceivedAnywhere,
    LastViewedFeed,
    Received,
    TagFilter,
)


def resolve(node: Node, now_ms: int) -> Node:
    """The filter with every period subtracted from `now_ms` (UTC milliseconds).

    Moments stay unchanged. Raises FilterError for a range that is empty at this `now`
    (`impossible_range`) or reaches before the year 1 (`bad_time`).
    """
    if isinstance(node, And):
        return And(tuple(resolve(part, now_ms) for part in node.parts))
    if isinstance(node, Or):
        return Or(tuple(resolve(part, now_ms) for part in node.parts))
    if isinstance(node, Not):
        return Not(resolve(node.part, now_ms))
    if isinstance(node, _TIMED):
        span: Span = node.span
        return replace(node, span=span.at(now_ms, node.path))
    return node
