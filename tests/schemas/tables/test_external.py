"""External ids of events: the latest counts, in any order, and each is passed on once a day."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from schemas.decode.ingest import ingest
from schemas.records import codec
from schemas.tables.external import EXTERNAL_SCHEMA, Said, as_roster, last_said
from schemas.tables.roster import ROSTER_SCHEMA, latest, roster_rows
from tests.rigs.record_batches import INPUTS, NOW, Produced, batch

DAY = 86_400_000
SAID = st.tuples(st.sampled_from("uv"), st.sampled_from("abc"), st.integers(0, 5))


def frame(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), EXTERNAL_SCHEMA, orient="row")


def events(*rows: tuple[str, str | None, int]) -> pl.DataFrame:
    schema = {"user": pl.String, "external": pl.String, "first": pl.Int64}
    return pl.DataFrame(list(rows), schema, orient="row")


@given(st.lists(SAID, max_size=12), st.integers(0, 12), st.randoms(use_true_random=False))
def test_the_fold_is_a_join(rows: list[tuple[str, str, int]], cut: int, random: object) -> None:
    whole = last_said(frame(*rows))
    parts = pl.concat([last_said(frame(*rows[:cut])), last_said(frame(*rows[cut:]))])
    assert last_said(parts.sample(fraction=1.0, shuffle=True, seed=1)).equals(whole)
    expected = {user: max((t, e) for u, e, t in rows if u == user)[1] for user, _, _ in rows}
    assert dict(whole.select("user", "external").iter_rows()) == expected


def test_news_are_passed_on_once_a_day_and_a_change_at_once() -> None:
    said = Said()
    assert said.news(events(("u", "a", 1), ("v", None, 1), ("w", "", 1))).rows() == [("u", "a", 1)]
    assert said.news(events(("u", "a", 2))).is_empty()
    assert said.news(events(("u", "b", 3), ("u", "a", 1))).rows() == [("u", "b", 3)]
    assert said.news(events(("u", "a", DAY))).rows() == [("u", "a", DAY)]
    assert Said().news(events(("u", "a", 2))).rows() == [("u", "a", 2)]


def test_the_users_topic_outweighs_events_whatever_it_says() -> None:
    named = as_roster(frame(("u", "event", NOW), ("v", "event", NOW), ("w", "event", NOW)))
    assert named.schema == ROSTER_SCHEMA
    told = roster_rows([("u", {"external_user_id": None}), ("v", None)], 0)
    rows = latest(pl.concat([told, named])).select("user", "external", "deleted").rows()
    assert rows == [("u", None, False), ("v", None, True), ("w", "event", False)]


def test_events_of_every_kind_and_form_say_it() -> None:
    fields = {"id": "1", "user_id": "u", "time": NOW, "external_user_id": "e"}
    kinds = ("send", "open", "click", "variant", "conversion", "signal")
    batches = [
        batch(
            [Produced(codec.encode(kind, {"id": kind, **fields}))], topic=f"t.interactions.{kind}"
        )
        for kind in kinds
    ]
    for one in batches:
        found = ingest([one], 0, 1, INPUTS, said=Said())
        assert found.externals.rows() == [("u", "e", NOW)], one.topic
    body = b'{"id": "1", "user_id": "u", "time": %d, "external_user_id": "e"}' % NOW
    for value in (body, codec.encode("send", {"id": "2", "user_id": "u", "time": NOW})):
        found = ingest([batch([Produced(value)])], 0, 1, INPUTS, said=Said())
        assert found.externals.height == (value is body)
    assert ingest(batches, 0, 1, INPUTS).externals.is_empty()
