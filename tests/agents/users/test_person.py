"""Who has an identifier: the last row counts, in whatever part it is."""

import json
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from agents.shard.roster_index import RosterPart, deleted, matches, part, people
from agents.users.person import Match, Person
from schemas.tables.merges import merges_of
from schemas.tables.roster import ROSTER_SCHEMA, Alias, roster_rows

USERS = st.sampled_from(["u1", "u2", "u3"])
NAMES = st.sampled_from(["a", "b", 'quo"te', "back\\slash", "ä", "a,b", "", "[]"])
LABELS = st.sampled_from(["", "l", "m"])
ALIASES = st.builds(Alias, NAMES, LABELS)
LABELLED = st.fixed_dictionaries({"alias_name": NAMES, "alias_label": LABELS})
RECORDS = st.none() | st.fixed_dictionaries(
    {
        "external_user_id": st.none() | NAMES,
        "aliases": st.lists(NAMES, max_size=3),
        "user_aliases": st.lists(LABELLED, max_size=3),
        "merged_into": st.none() | USERS,
    }
)


def borne_by(record: dict[str, Any]) -> tuple[Alias, ...]:
    """Name and label together, each pair once."""
    plain = [Alias(name) for name in record["aliases"]]
    pairs = [Alias(each["alias_name"], each["alias_label"]) for each in record["user_aliases"]]
    return tuple(dict.fromkeys(plain + pairs))


def parts(rows: pl.DataFrame) -> list[RosterPart]:
    """As runs and deltas of any size and in any order."""
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    return [part(shuffled[at : at + 3]) for at in range(0, shuffled.height, 3)]


@given(st.lists(st.tuples(USERS, RECORDS), max_size=12), st.lists(NAMES), st.lists(ALIASES))
def test_as_a_dictionary_of_the_last_words(
    told: list[tuple[str, dict[str, Any] | None]], externals: list[str], aliases: list[Alias]
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
        expected |= {
            Match("alias", each.name, user, each.label)
            for each in borne_by(record)
            if each in aliases
        }
    assert set(found) == expected


@given(st.lists(st.tuples(USERS, RECORDS), max_size=12))
def test_people_are_the_last_words_and_travel_as_json(
    told: list[tuple[str, dict[str, Any] | None]],
) -> None:
    found = people(parts(roster_rows(told, 0)), ["u1", "u2", "nobody"])
    expected = {
        user: Person(user, deleted=True)
        if record is None
        else Person(user, record["external_user_id"], borne_by(record), record["merged_into"])
        for user, record in dict(told).items()
        if user != "u3"
    }
    assert found == expected
    for person in found.values():
        assert Person.from_json(json.loads(json.dumps(person.to_json()))) == person


@given(st.lists(st.tuples(USERS, RECORDS), max_size=12))
def test_deleted_are_those_whose_last_word_is_that(
    told: list[tuple[str, dict[str, Any] | None]],
) -> None:
    found = deleted(parts(roster_rows(told, 5))).to_list()
    assert found == sorted(user for user, record in dict(told).items() if record is None)


def test_nobody() -> None:
    empty = [part(pl.DataFrame(schema=ROSTER_SCHEMA))]
    assert matches(empty, ["x"], [Alias("y")]) == []
    assert matches(empty, [], []) == []
    assert people(empty, []) == {}
    assert people(empty, ["u"]) == {}


def test_users_merged_into_nobody_or_themselves_by_an_older_release_are_there() -> None:
    told: list[tuple[str, dict[str, Any] | None]] = [
        ("u1", {"merged_into": ""}),
        ("u2", {"merged_into": "u2"}),
        ("u3", {"merged_into": "u1"}),
        ("u4", None),
    ]
    assert merges_of(roster_rows(told, 0)).rows() == [("u3", "u1")]
