"""Foreign text for people: nothing in it controls the terminal, and JSON stays equivalent."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.words.shown import json_shown, shown, width

TEXTS = st.text(st.characters() | st.sampled_from("\x1b\x9b\x07\n\r\u2028\u202e\u2066\ud800a é漢"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Spring sale", "Spring sale"),
        ("été 漢字 🎉", "été 漢字 🎉"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u0646\u200c\u0646", "\u0646\u200c\u0646"),
        ("👩\u200d🚀", "👩\u200d🚀"),
    ],
)
def test_what_would_act_is_written_out(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(TEXTS)
def test_nothing_acts_and_no_line_begins(text: str) -> None:
    for written in (shown(text), json_shown(text)):
        kinds = {unicodedata.category(char) for char in written if char not in "\u200c\u200d"}
        assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert len(written.splitlines()) <= 1
        written.encode()


@given(TEXTS)
def test_json_says_the_same(text: str) -> None:
    assert json.loads(json_shown(json.dumps({"a": text}, ensure_ascii=False))) == {"a": text}


def test_widths_are_columns() -> None:
    assert [width(text) for text in ("abc", "漢字", "é", "e\u0301", "")] == [3, 4, 1, 1, 0]


HIDDEN = (
    *("\ufe00", "\ufe0d", "\U000e0100", "\U000e01ef", "\u180b", "\u180f", "\u034f", "\u115f"),
    *("\u3164", "\uffa0", "\u2800", "\u2065", "\ufff0", "\U000e0fff", "\u200b", "\u00ad"),
)


@pytest.mark.parametrize("char", HIDDEN)
def test_what_is_drawn_as_nothing_is_written_as_a_number(char: str) -> None:
    text = f"Spr{char}ing"
    assert char not in shown(text)
    assert json.loads(f'"{json_shown(text)}"') == text
    assert char not in json_shown(text)


@pytest.mark.parametrize(
    "text", ["\u845b\U000e0100\u57ce", "\u8fbb\ufe00", "\u2764\ufe0f", "1\ufe0f\u20e3"]
)
def test_selectors_that_change_what_is_drawn_stay(text: str) -> None:
    """Japanese names choose forms of ideographs, emoji their style."""
    assert shown(text) == text
