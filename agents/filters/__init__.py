"""The filter language: parse, plan, evaluate. Pure: no I/O, no clock.

    node = parse(json)                                     FilterError names the path
    found = plan(node, facts, now_ms=now, on_expired=...)  Plan, or Refused with all reasons
    users = evaluate(found, shard)                         on each shard, for the pinned versions

Begin with `vocabulary` (all filters), then `meaning`. Imports `schemas`.
"""

from agents.filters.data import Data
from agents.filters.errors import FilterError
from agents.filters.evaluation import evaluate
from agents.filters.nodes import Node
from agents.filters.parsing import leaves, parse, parse_text, uses
from agents.filters.plan_facts import FixedPlanFacts, PlanFacts, SegmentView, SourceView
from agents.filters.plan_nodes import Excluded, FilterPlan
from agents.filters.planning import plan
from agents.filters.refusals import Code, FilterPath, FilterRefusal, OnExpired, Refused
from agents.filters.resolving import resolve

__all__ = [
    "Code",
    "Data",
    "Excluded",
    "FilterError",
    "FilterPath",
    "FilterPlan",
    "FilterRefusal",
    "FixedPlanFacts",
    "Node",
    "OnExpired",
    "PlanFacts",
    "Refused",
    "SegmentView",
    "SourceView",
    "evaluate",
    "leaves",
    "parse",
    "parse_text",
    "plan",
    "resolve",
    "uses",
]
