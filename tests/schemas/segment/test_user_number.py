"""Users of 24 lower-case hex digits are numbers, in the order of the texts; other users are not."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from schemas.segment.user_number import NUMBER, numbers, packed

hex_user = st.integers(0, 2**96 - 1).map(lambda number: f"{number:024x}")
other = (
    st.text(max_size=30)
    | hex_user.map(str.upper).filter(lambda user: not user.isdecimal())
    | st.sampled_from(("0" * 23, "0" * 32, "0" * 24 + "\n", "é" * 12, "g" * 24, "0x" + "0" * 22))
).filter(lambda user: len(user) != 24 or not set(user) <= set("0123456789abcdef"))


@given(st.lists(hex_user))
def test_a_number_is_what_the_digits_spell(users: list[str]) -> None:
    found = packed(pl.Series("user", users, pl.String))

    assert found.bin.encode("hex").to_list() == users
    assert numbers(found).dtype == NUMBER
    assert numbers(found).to_list() == [int(user, 16) for user in users]


@given(st.lists(hex_user, min_size=1))
def test_all_three_forms_have_one_order(users: list[str]) -> None:
    found = packed(pl.Series("user", users))

    ordered = sorted(users)
    assert found.sort().bin.encode("hex").to_list() == ordered
    assert numbers(found).sort().to_list() == [int(user, 16) for user in ordered]


@given(st.lists(hex_user | other))
def test_whatever_else_is_no_number(users: list[str]) -> None:
    found = packed(pl.Series("user", users, pl.String)).to_list()

    for user, of in zip(users, found, strict=True):
        spelt = len(user) == 24 and set(user) <= set("0123456789abcdef")
        assert of == (bytes.fromhex(user) if spelt else None)
