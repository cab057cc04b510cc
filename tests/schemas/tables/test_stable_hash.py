"""A hash that is stored: the same for ever, for any length, at a cost proportional to its bytes."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables.stable_hash import stable_hash

MASK = (1 << 64) - 1


def factor(place: int) -> int:
    """SplitMix64 of a place, made odd."""
    mixed = (place + 2) * 0x9E3779B97F4A7C15 & MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & MASK
    return (mixed ^ mixed >> 31) | 1


def plain(text: str) -> int:
    """The same, a text at a time."""
    data = text.encode()
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    terms = (word * factor(place) for place, word in enumerate(words))
    return (len(data) * factor(-1) + sum(terms)) & MASK


def test_it_is_what_it_was_when_it_was_first_stored() -> None:
    texts = ["", "a", "0123456789abcdef0123456789abcdef", "é" * 300]
    assert stable_hash(pl.Series(texts)).to_list() == [
        0,
        0xBDD4AEA0C25D6F84,
        0xE59BFD72ED374E2A,
        0x72B9744AF77C0FCE,
    ]


@given(st.lists(st.text(max_size=300) | st.text("ab", max_size=5), max_size=20))
def test_every_text_has_the_hash_it_has_alone(texts: list[str]) -> None:
    found = stable_hash(pl.Series("id", texts, dtype=pl.String))
    assert found.name == "id"
    assert found.dtype == pl.UInt64
    wanted = [plain(text) for text in texts]
    assert found.to_list() == wanted
    # many are hashed in another way than a few
    assert stable_hash(pl.Series(texts * 40, dtype=pl.String)).to_list() == wanted * 40


@pytest.mark.parametrize("size", [1, 3, 4, 31, 32, 33, 63, 64, 65, 128, 129, 512])
def test_texts_of_one_length(size: int) -> None:
    texts = [f"{number:0{size}d}"[-size:] for number in range(40)]
    for some in (texts, texts[:10]):
        assert stable_hash(pl.Series(some)).to_list() == [plain(text) for text in some]


@pytest.mark.parametrize("pattern", ["{:08d}", "order-{:06d}-x", "{:x}", "a{:03d}b{:03d}"])
def test_numbered_ids_do_not_meet(pattern: str) -> None:
    ids = {pattern.format(n, n * 7 % 1000) for n in range(200_000)}
    assert stable_hash(pl.Series(sorted(ids))).n_unique() == len(ids)
