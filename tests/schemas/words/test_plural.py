"""The noun beside numbers."""

from schemas.words.plural import counted, numbered, plural


def test_only_one_is_singular() -> None:
    assert [plural(n, "source") for n in (0, 1, 2, 0.5)] == ["sources", "source"] + ["sources"] * 2
    assert [plural(n, "entry", "entries") for n in (1, 3)] == ["entry", "entries"]


def test_a_count_stands_before_its_noun_and_numbers_after_theirs() -> None:
    assert [counted(n, "source") for n in (1, 1_200)] == ["1 source", "1,200 sources"]
    assert counted(2, "entry", "entries") == "2 entries"
    assert [numbered("shard", found) for found in ((3,), (1, 2))] == ["shard 3", "shards 1, 2"]
