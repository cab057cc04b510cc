"""Who bears an identifier: the last word counts, wherever it stands."""

import json
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from agents.profiles.person import Match, Person
from agents.profiles.roster_index import RosterPart, matches, part, people
from schemas.roster import ROSTER_SCHEMA, roster_rows

USERS = st.sampled_from(["u1", "u2", "u3"])
NAMES = st.sampled_from(["a", "b", 'quo"te', "back\\slash", "ä", "a,b", "", "[]"])
RECORDS = st.none() | st.fixed_dictionaries(
    {
        "external_user_id": st.none() | NAMES,
        "aliases": st.lists(NAMES, max_size=3),
        "merged_into": st.none() | USERS,
    }
)


def parts(rows: pl.DataFrame) -> list[RosterPart]:
    """As runs and deltas of any size and in any order."""
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    return [part(shuffled[at : at + 3]) for at in range(0, shuffled.height, 3)]


@given(st.lists(st.tuples(USERS, RECORDS), max_size=12), st.lists(NAMES), st.lists(NAMES))
def test_as_a_dictionary_of_the_last_words(
    told: list[tuple[str, dict[str, Any] | None]], externals: list[str], aliases: list[str]
) -> None:
    roster = parts(roster_rows(told, 5))
    last = dict(told)
    found = matches(roster, externals, aliases)
    assert len(found) == len(set(found))
    expected = set()
    for user, record in last.items():
        if record is None:
            continue
        if record["external_user_id"] is not None and record["external_user_id"] in externals:
            expected.add(Match("external", record["external_user_id"], user))
        expected |= {Match("alias", each, user) for each in record["aliases"] if each in aliases}
    assert set(found) == expected


@given(st.lists(st.tuples(USERS, RECORDS), max_size=12))
def test_people_are_the_last_words_and_travel_as_json(
    told: list[tuple[str, dict[str, Any] | None]],
) -> None:
    found = people(parts(roster_rows(told, 0)), ["u1", "u2", "nobody"])
    expected = {
        user: Person(user, deleted=True)
        if record is None
        else Person(
            user, record["external_user_id"], tuple(record["aliases"]), record["merged_into"]
        )
        for user, record in dict(told).items()
        if user != "u3"
    }
    assert found == expected
    for person in found.values():
        assert Person.from_json(json.loads(json.dumps(person.to_json()))) == person


def test_nobody() -> None:
    empty = [part(pl.DataFrame(schema=ROSTER_SCHEMA))]
    assert matches(empty, ["x"], ["y"]) == []
    assert matches(empty, [], []) == []
    assert people(empty, []) == {}
    assert people(empty, ["u"]) == {}
