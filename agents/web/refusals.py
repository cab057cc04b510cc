"""Refused filters as problems."""

from collections.abc import Sequence
from typing import Any

from agents.filters.errors import FilterError
from agents.filters.plan_nodes import Excluded
from agents.filters.refusals import Code, FilterRefusal, Refused
from agents.http.problems import Problem, listed
from agents.names.index import NameIndex
from agents.names.resolve import unknown

__all__ = ["MOST_NAMES", "excluded_members", "filter_problem", "refused_problem"]

MOST_NAMES = 1_000
"""Leaves, segments on the way to them and sources that one list describes: a tag may stand for
thousands of sources, and be asked in as many leaves."""


def filter_problem(error: FilterError) -> Problem:
    """400: `path` is the JSON path of the fault within the filter."""
    return Problem(error.code, error.message, path=error.path, remedy=error.remedy)


def refused_problem(refused: Refused, names: NameIndex) -> Problem:
    """The reasons of a refusal, leaf by leaf. `restore` is the body of the restore call that would
    help, if there is one; it names every source. The other lists have only the first entries, and
    `refusals_total` and `sources_total` give their full length.
    """
    first = next(each for each in refused.refusals if each.code is refused.code)
    sources = refused.sources
    members: dict[str, Any] = {
        "path": first.at.path,
        "sources": list(sources[:MOST_NAMES]),
        "sources_total": len(sources),
        "refusals": _described(refused.refusals, names),
        "refusals_total": len(refused.refusals),
    }
    if refused.code is Code.SOURCE_HIDDEN:
        members["restore"] = refused.restore
    detail = refused.detail
    if first.code is Code.UNKNOWN_SOURCE and first.unknown is not None:
        error = unknown(first.unknown, names)
        members["nearest"] = listed(error.nearest)
        detail += f". {error.remedy}" if error.nearest else ""
    return Problem(refused.code.value, detail, **members)


def excluded_members(excluded: Sequence[Excluded], names: NameIndex) -> dict[str, Any]:
    """The sources that an answer leaves out, and the leaves that name them: the first ones, and the
    total.
    """
    found: list[dict[str, str]] = []
    room = MOST_NAMES
    for each in excluded:
        room -= 1 + len(each.at.through)
        if room < 0:
            break
        source = {"source": each.source, "name": _name(each.source, names)}
        found.append({**source, "filter": each.filter, "path": str(each.at)})
    return {"excluded": found, "excluded_total": len(excluded)}


def _name(source: str, names: NameIndex) -> str:
    record = names.get(source)
    return "" if record is None else record.name


def _described(refusals: Sequence[FilterRefusal], names: NameIndex) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    room = MOST_NAMES
    for refusal in refusals:
        at = refusal.at
        room -= 1 + len(at.through)
        if room < 0:
            break
        shown = refusal.sources[:room]
        room -= len(shown)
        found.append(
            {
                "code": refusal.code.value,
                "filter": refusal.filter,
                "path": at.path,
                "through": list(at.through),
                "inner_path": at.inner,
                "detail": refusal.detail,
                "sources": [
                    {"source": key, "name": _name(key, names), "state": state.value}
                    for key, state in shown
                ],
                "sources_total": len(refusal.sources),
            }
        )
    return found
