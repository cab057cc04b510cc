"""The filter language: parse, plan, evaluate. Pure: no I/O, no clock.

    node = parse(json)                                     FilterError names the path
    found = plan(node, facts, now_ms=now, on_expired=...)  FilterPlan, or Refused with all reasons
    users = evaluate(found, shard)                         on each shard, for the pinned versions

Begin with `vocabulary` (all filters), then `meaning`. Imports `schemas`.
"""
