"""The mask of erased users, over all columns, and its laws with the fold."""

from collections.abc import Mapping

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables.counts import COUNT_SCHEMA, add_up
from schemas.tables.erased import NEVER, ErasedUser, ErasureKey, Mask
from schemas.tables.external import EXTERNAL_SCHEMA
from schemas.tables.fold import fold
from schemas.tables.interaction import SCHEMA
from schemas.tables.roster import roster_rows

KEY = ErasureKey(b"k" * 32)
USERS = [f"{number:024x}" for number in range(6)] + ["ada", "grace hopper", "é"]


def mask(*users: str, at: int = 100, key: ErasureKey = KEY) -> Mask:
    empty = Mask(key)
    return empty.changed(empty.erased(key.tokens(users), at))


def rows(*said: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"source": "campaign:a", "user": user, "kind": "received", "first": at, "last": at}
            for user, at in said
        ],
        schema=SCHEMA,
    )


def users_of(frame: pl.DataFrame) -> list[str]:
    return sorted(frame["user"].to_list())


def test_rows_of_an_erased_user_are_left_out_and_no_others() -> None:
    frame = rows(*((user, number) for number, user in enumerate(USERS)))
    for user in USERS:
        kept = mask(user).rows(frame)
        assert users_of(kept) == sorted(set(USERS) - {user})
    assert mask("nobody").rows(frame) is frame
    assert Mask().rows(frame) is frame


def test_another_key_knows_nobody() -> None:
    other = ErasureKey(b"x" * 32)
    assert KEY.id != other.id
    assert not set(KEY.tokens(USERS)) & set(other.tokens(USERS))
    erased = mask("ada")
    assert Mask(other, erased.users, 1).find("ada") is None


def test_a_token_tells_neither_the_user_nor_its_hash_without_the_key() -> None:
    (token,) = KEY.tokens(["ada"])
    assert b"ada" not in token
    assert KEY.hash_of(token) != int.from_bytes(token[16:], "big")


@pytest.mark.parametrize("secret", [b"", b"k" * 31, b"k" * 65])
def test_a_key_has_a_size(secret: bytes) -> None:
    with pytest.raises(ValueError, match="a key has"):
        ErasureKey(secret)


def test_users_are_sealed_once_and_only_by_the_key() -> None:
    texts = KEY.sealed(USERS, 4)
    assert len(texts) == len(USERS)
    assert KEY.sealed(texts, 4) == texts == KEY.sealed([*texts, USERS[0]], 4)
    opened = {KEY.opened(text) for text in texts}
    assert {token for _, token in filter(None, opened)} == set(KEY.tokens(USERS))
    assert ErasureKey(b"x" * 32).opened(texts[0]) is None
    # of another number of shards it is another text
    assert KEY.sealed(texts, 8) == texts != KEY.sealed(USERS, 8)
    for text in ("ada", "erased:1:2:3", "erased:x:y:z", texts[0][:-1] + "g", ""):
        assert KEY.opened(text) is None


def returned(known: Mask, user: str, time: int, sequence: int) -> Mask:
    frame = pl.DataFrame(
        {"user": [user], "deleted": [False], "sequence": [sequence], "time": [time]}
    )
    return known.changed(known.returned(frame))


def test_a_later_record_of_the_roster_brings_a_user_back_and_rows_from_then_on_count() -> None:
    erased = mask("ada", at=100)
    assert returned(erased, "ada", 100, 7).hides("ada")
    assert returned(erased, "grace hopper", 200, 7).hides("ada")
    back = returned(erased, "ada", 200, 7)
    assert not back.hides("ada")
    assert (back.generation, back.version) == (1, 2)
    kept = back.rows(rows(("ada", 99), ("ada", 199), ("ada", 200), ("x", 1)))
    assert sorted(kept.select("user", "first").rows()) == [("ada", 200), ("x", 1)]
    # only the first record counts
    assert not back.returned(
        pl.DataFrame({"user": ["ada"], "deleted": [False], "sequence": [9], "time": [300]})
    )


def test_a_deletion_brings_nobody_back() -> None:
    frame = pl.DataFrame({"user": ["ada"], "deleted": [True], "sequence": [1], "time": [900]})
    assert not mask("ada").returned(frame)


def test_a_user_can_be_erased_again() -> None:
    back = returned(mask("ada", at=100), "ada", 200, 7)
    again = back.changed(back.erased(KEY.tokens(["ada"]), 300))
    assert again.hides("ada")
    assert again.generation == 2


def test_the_roster_and_external_ids_lose_what_was_said_before_the_return() -> None:
    roster = roster_rows([("ada", {"external_user_id": "1"}), ("x", None), ("ada", {})], 5)
    assert users_of(mask("ada").roster(roster)) == ["x"]
    assert mask("ada").roster(roster).height == 1
    back = returned(mask("ada"), "ada", 200, 7)
    assert back.roster(roster).select("user", "sequence").rows() == [("x", 6), ("ada", 7)]
    named = pl.DataFrame(
        [("ada", "1", 150), ("ada", "1", 250), ("x", "2", 1)], schema=EXTERNAL_SCHEMA, orient="row"
    )
    assert back.externals(named)["time"].to_list() == [250, 1]


def counts(*said: tuple[str | None, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"source": "@feed", "user": user, "count": count} for user, count in said],
        schema=COUNT_SCHEMA,
    )


def test_counts_keep_their_sum_and_lose_the_person() -> None:
    kept = mask("ada", "é").counts(counts(("ada", 3), ("é", 4), ("x", 5), (None, 1)))
    assert sorted(kept.select("user", "count").rows(), key=str) == [("x", 5), (None, 8)]
    nobody = counts((None, 1))
    assert mask("ada").counts(nobody) is nobody


def test_who_has_come_back_keeps_new_counts() -> None:
    said = counts(("ada", 3), ("é", 4))
    back = returned(mask("ada", "é"), "ada", 200, 7)
    assert sorted(back.new_counts(said).select("user", "count").rows(), key=str) == [
        ("ada", 3),
        (None, 4),
    ]
    assert back.counts(said)["user"].null_count() == 1


SAID = st.lists(st.tuples(st.sampled_from(USERS), st.integers(0, 300)), max_size=12)
ERASED = st.sets(st.sampled_from(USERS), max_size=4)


def ordered(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return sorted(frame.rows(), key=str)


@given(SAID, SAID, ERASED)
def test_the_mask_commutes_with_fold_and_merge(
    one: list[tuple[str, int]], other: list[tuple[str, int]], erased: set[str]
) -> None:
    hidden = mask(*sorted(erased))
    whole = fold(pl.concat([rows(*one), rows(*other)]))
    apart = fold(pl.concat([hidden.rows(fold(rows(*one))), hidden.rows(rows(*other))]))
    assert ordered(hidden.rows(whole)) == ordered(apart)
    assert not set(apart["user"]) & erased
    assert ordered(hidden.rows(hidden.rows(whole))) == ordered(hidden.rows(whole))


@given(
    SAID, st.dictionaries(st.sampled_from(USERS), st.one_of(st.just(NEVER), st.integers(0, 300)))
)
def test_only_rows_from_the_return_on_are_left(
    said: list[tuple[str, int]], returns: Mapping[str, int]
) -> None:
    tokens = dict(zip(returns, KEY.tokens(returns), strict=True))
    entries = {
        token[:16]: ErasedUser(token, 0, 1, returns[user], 0) for user, token in tokens.items()
    }
    kept = Mask(KEY, entries, 1).rows(rows(*said))
    assert ordered(kept) == ordered(
        rows(*((user, at) for user, at in said if user not in returns or at >= returns[user]))
    )


@given(st.lists(st.tuples(st.sampled_from([*USERS, None]), st.integers(1, 9))), ERASED)
def test_the_mask_keeps_sums(said: list[tuple[str | None, int]], erased: set[str]) -> None:
    kept = mask(*sorted(erased)).counts(counts(*said))
    assert kept["count"].sum() == sum(count for _, count in said)
    assert not set(kept["user"]) & erased
    assert ordered(add_up(kept)) == ordered(mask(*sorted(erased)).counts(add_up(counts(*said))))
