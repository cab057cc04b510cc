"""A filter's plan against the facts of the independent evaluation."""

import json
from typing import Any

from hypothesis import HealthCheck, settings

from agents.filters.errors import FilterError
from agents.filters.parsing import parse
from agents.filters.plan_nodes import FilterPlan
from agents.filters.planning import plan
from agents.filters.refusals import OnExpired, Refused
from tests.rigs.filters.brute import NOW, Facts, millis
from tests.rigs.filters.shard import plan_facts_of

NOW_MS = millis(NOW)

relaxed = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def planned(
    tree: Any, known: Facts, *, exclude: bool = False
) -> FilterPlan | Refused | FilterError:
    """What becomes of the tree where these are the facts."""
    mode = OnExpired.EXCLUDE if exclude else OnExpired.REFUSE
    plan_facts = plan_facts_of(known, json.dumps)
    try:
        return plan(parse(tree), plan_facts, now_ms=NOW_MS, on_expired=mode)
    except FilterError as error:
        return error
