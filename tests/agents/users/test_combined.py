"""Laws: the data of a person is that of the same events under one id."""

from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.users.combined import archived_together, together
from agents.users.entry import entries
from agents.users.facts import ArchivedUser, UserFacts
from agents.users.person import Person
from schemas.tables.fold import fold
from tests.rigs.rows import random_rows

IDS = ("ada", "bob", "cy")


def facts(user: str, rows: pl.DataFrame, **more: int) -> UserFacts:
    """What a shard has of one id."""
    theirs = fold(rows.filter(pl.col("user") == user)).sort("source")
    hidden = {f"campaign:{name}": count for name, count in more.items() if count}
    return UserFacts(user, Person(user, external=f"ext-{user}"), theirs, hidden, len(user))


@given(seed=st.integers(0, 2**32), count=st.integers(0, 60))
@settings(deadline=None, max_examples=60)
def test_a_profile_is_that_of_the_same_events_under_one_id(seed: int, count: int) -> None:
    random = Random(seed)
    ids = pl.Series("user", [random.choice(IDS) for _ in range(count)], dtype=pl.String)
    rows = random_rows(seed, count).with_columns(ids)
    parts = [facts(user, rows, gone=1, old=len(user) - 2) for user in IDS]
    random.shuffle(parts)
    found = together("ada", parts)
    one = fold(rows.with_columns(user=pl.lit("ada"))).sort("source")
    assert found.rows["source"].is_sorted()
    assert sorted(found.rows.rows(), key=str) == sorted(one.rows(), key=str)
    assert entries(found.rows) == entries(one)
    assert found.hidden == {"campaign:gone": 3, "campaign:old": 2}
    assert (found.feed_views, found.person) == (8, Person("ada", external="ext-ada"))
    assert sorted(found.others) == ["bob", "cy"]


@pytest.mark.parametrize("deleted", ["bob", "cy"])
def test_an_id_that_was_deleted_adds_nothing(deleted: str) -> None:
    rows = random_rows(1, 30).with_columns(user=pl.lit("bob"))
    rows = pl.concat([rows, rows.with_columns(user=pl.lit("cy"))])
    parts = [facts(user, rows) for user in IDS]
    gone = UserFacts(deleted, Person(deleted, deleted=True), facts(deleted, rows).rows, {"x": 1}, 9)
    found = together("ada", [each if each.user != deleted else gone for each in parts])
    assert (len(found.rows), found.hidden) == (len(facts("bob", rows).rows), {})
    assert found.feed_views == len("ada") + len("bob") + len("cy") - len(deleted)


def test_a_source_that_is_hidden_of_one_id_is_hidden_of_all() -> None:
    rows = random_rows(5, 30).with_columns(user=pl.lit("ada"))
    own, source = facts("ada", rows), rows["source"][0]
    other = UserFacts("bob", None, rows.clear(), {source: 2}, 0)
    found = together("ada", [own, other])
    gone = own.rows.filter(pl.col("source") == source).height
    assert found.hidden == {source: 2 + gone}
    assert len(found.rows) == len(own.rows) - gone
    assert source not in found.rows["source"]


def test_the_rows_of_who_became_nobody_make_nobody_known() -> None:
    rows = random_rows(4, 5).with_columns(user=pl.lit("bob"))
    nobody = UserFacts("none", None, rows.clear(), {}, 0)
    assert not together("none", [facts("bob", rows), nobody]).known


def test_a_user_with_one_id_stays_as_read() -> None:
    rows = random_rows(2, 5).with_columns(user=pl.lit("ada"))
    alone = facts("ada", rows)
    assert together("ada", [alone]) is alone
    part = ArchivedUser(rows, ("a",), 2, 10)
    assert archived_together("ada", [part]) is part


def test_what_was_read_in_the_archive_adds_up() -> None:
    rows = random_rows(3, 20)
    one = ArchivedUser(rows.with_columns(user=pl.lit("ada")), ("a", "b"), 2, 10, (("a", "line"),))
    two = ArchivedUser(rows.with_columns(user=pl.lit("bob")), ("b",), 1, 5, (("a", "line"),))
    found = archived_together("ada", [one, two])
    assert len(found.rows) == len(fold(one.rows)), "the same rows of two ids are the same"
    assert (found.sources, found.segments, found.bytes) == (("a", "b"), 3, 15)
    assert found.damaged == (("a", "line"),)
