"""The live line: done of total, rate, time left; and on a terminal only."""

import sys

import pytest

from agents.terminal.progress import LiveLine, progress_text, seconds_left
from agents.terminal.say import live
from schemas.words.shown import width
from tests.rigs.screen import screen


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ((41, 160, "segments", 12.0, 10.0), "41 of 160 segments, 12/s, 10 s left"),
        ((41, None, "segments", None, None), "41 segments"),
        ((36e6, 140e6, "bytes", 12e6, 8.7), "36.0 MB of 140.0 MB, 12.0 MB/s, 8.7 s left"),
        ((1, 1, "sources", None, None), "1 of 1 source"),
        ((0, 2, "sources", 0.5, 4.0), "0 of 2 sources, 0.5/s, 4.0 s left"),
    ],
)
def test_what_is_known_is_told(
    facts: tuple[float, float | None, str, float | None, float | None], text: str
) -> None:
    assert progress_text(*facts) == text


def test_the_time_left_is_known_with_a_rate_and_a_total() -> None:
    assert seconds_left(40, 160, 12) == 10
    assert seconds_left(40, None, 12) is None
    assert seconds_left(40, 160, None) is None
    assert seconds_left(170, 160, 12) is None


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveLine("Restore") as line:
        line.show(1, 2)
        assert not line.shows
    assert capsys.readouterr() == ("", "")


def test_a_line_is_due_again_after_a_tenth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    now = [0.0]
    with LiveLine("Restore", clock=lambda: now[0]) as line:
        assert line.due
        line.show(1, 2)
        assert not line.due
        now[0] = 0.1
        assert line.due


@pytest.mark.parametrize("columns", [80, 60])
def test_a_line_that_is_replaced_is_never_longer_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    drawn = screen(monkeypatch, columns)
    for text in ("春のキャンペーン 🌸 " * 9, "short"):
        live(text, columns=99)
    first, second = drawn.getvalue().lstrip("\r").split("\r")
    assert width(first) in (columns - 2, columns - 1)
    assert width(second) == columns - 1
