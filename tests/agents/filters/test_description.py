"""The description of the filter language: the parser takes what it offers, and nothing else."""

import inspect
from itertools import combinations
from typing import Any

import pytest

from agents.filters.arguments import Arguments
from agents.filters.description import FilterDescription, FilterField, _Recorder, described
from agents.filters.errors import FilterError
from agents.filters.parsing import parse
from agents.filters.spelling import FILTERS, PROFILE_FILTERS, SOURCE_FILTERS, TAG_FILTERS
from agents.filters.vocabulary import VOCABULARY

BY_NAME = {one.filter: one for one in described()}
WHEN = {"after": "2026-01-01T00:00:00Z", "before": "2026-02-01T00:00:00Z"}


def example(field: FilterField) -> list[Any]:
    """Each value that a form offers for a field."""
    if field.type == "choice":
        return list(field.values)
    if field.type == "moment":
        return [WHEN[field.name]]
    return [7] if field.type == "number" else ["x"]


def least(one: FilterDescription) -> dict[str, Any]:
    """The leaf with what is required only."""
    leaf = {field.name: example(field)[0] for field in one.fields if field.required}
    if one.bounds == "one at least":
        leaf["after"] = WHEN["after"]
    return {"filter": one.filter, **leaf}


def test_every_filter_of_the_parser_is_described() -> None:
    assert set(BY_NAME) == set(VOCABULARY) == FILTERS
    assert {name for name, one in BY_NAME.items() if one.about == "source"} == set(SOURCE_FILTERS)
    assert {name for name, one in BY_NAME.items() if one.about == "tag"} == TAG_FILTERS
    assert {name for name, one in BY_NAME.items() if one.about == "user"} == PROFILE_FILTERS
    for name, kind in SOURCE_FILTERS.items():
        assert [field.name for field in BY_NAME[name].fields if field.type == kind] == [kind]


def test_no_reader_of_arguments_goes_unseen() -> None:
    readers = {
        name
        for name, _ in inspect.getmembers(Arguments, inspect.isfunction)
        if not name.startswith("_")
    }
    assert readers - set(vars(_Recorder)) == {"has", "finish"}


@pytest.mark.parametrize("one", described(), ids=lambda one: one.filter)
def test_the_parser_takes_each_field_and_each_value(one: FilterDescription) -> None:
    base = least(one)
    parse(base)
    parse(base | {"has": False})
    for field in one.fields:
        for value in example(field):
            parse(base | {field.name: value})
        if field.required:
            with pytest.raises(FilterError, match=field.name):
                parse({name: value for name, value in base.items() if name != field.name})
        elif field.default is not None:
            assert parse(base) == parse(base | {field.name: field.default})


@pytest.mark.parametrize("one", described(), ids=lambda one: one.filter)
def test_the_parser_takes_no_other_field(one: FilterDescription) -> None:
    known = {field.name for field in one.fields}
    others = {field.name for each in described() for field in each.fields} - known
    for name in others:
        with pytest.raises(FilterError) as refused:
            parse(least(one) | {name: "x"})
        assert refused.value.code == "unknown_argument"


@pytest.mark.parametrize("one", described(), ids=lambda one: one.filter)
def test_a_filter_takes_as_many_bounds_as_the_description_says(one: FilterDescription) -> None:
    base = {name: value for name, value in least(one).items() if name not in WHEN}
    allowed = {None: {0}, "one at most": {0, 1}, "one at least": {1, 2}}[one.bounds]
    for count in range(3):
        for names in combinations(WHEN, count):
            tree = base | {name: WHEN[name] for name in names}
            if count in allowed:
                parse(tree)
            else:
                with pytest.raises(FilterError):
                    parse(tree)
