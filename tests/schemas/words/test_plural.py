"""The noun behind a number."""

from schemas.words.plural import plural


def test_only_one_is_singular() -> None:
    assert [plural(n, "source") for n in (0, 1, 2, 0.5)] == ["sources", "source"] + ["sources"] * 2
    assert [plural(n, "entry", "entries") for n in (1, 3)] == ["entry", "entries"]
