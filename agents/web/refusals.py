"""Filters that are not answered, as problems."""

from typing import Any

from agents.filters import Code, FilterError, Refusal, Refused
from agents.web.problems import Problem

__all__ = ["filter_problem", "refused_problem"]


def filter_problem(error: FilterError) -> Problem:
    """400: `path` is the JSON path, within the filter, of what is wrong."""
    return Problem(error.code, error.message, path=error.path, remedy=error.remedy)


def refused_problem(refused: Refused) -> Problem:
    """All that stands in the way, leaf by leaf; `restore` is the body of the restore call that
    would mend it, where one would."""
    first = next(each for each in refused.refusals if each.code is refused.code)
    members: dict[str, Any] = {
        "path": first.place.path,
        "sources": list(refused.sources),
        "refusals": [_described(each) for each in refused.refusals],
    }
    if refused.code is Code.SOURCE_HIDDEN:
        members["restore"] = refused.restore
    return Problem(refused.code.value, refused.detail, **members)


def _described(refusal: Refusal) -> dict[str, Any]:
    place = refusal.place
    return {
        "code": refusal.code.value,
        "filter": refusal.filter,
        "path": place.path,
        "through": list(place.through),
        "inner_path": place.inner,
        "detail": refusal.detail,
        "sources": [{"source": key, "state": state.value} for key, state in refusal.sources],
    }
