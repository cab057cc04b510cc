"""Tables: as wide as their content, or folded to the terminal, whatever characters are in them."""

import re
from collections import Counter
from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from agents.terminal import table
from agents.terminal.amounts import day, period, size, when
from schemas.words.shown import clusters, shown, width

NAMES = (
    "Spring", "春のキャンペーン", "Été à la plage", "봄 캠페인", "봄", "عرض الربيع", "🌸 Spring 🌸",
    "❤️ you", "👨‍👩‍👧 family", "👍🏽 liked", "🇯🇵 and 🇧🇷", "1️⃣ first", "é", "ｶﾅ", "☀", "नमस्ते",
)  # fmt: skip
UUID = "campaign:6f1c1fd0-5a7e-4d0e-9e61-0f5b5c1de2aa"


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_counted_as_a_terminal_counts_them(name: str) -> None:
    assert width(name) == cell_len(name)
    assert "".join(part for part, _ in clusters(name)) == name


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_no_line_is_longer_than_the_terminal(columns: int) -> None:
    head = ("source", "name", "state", "due", "archived", "why")
    rows = [
        (UUID, f"{name} {name}", "STOPPED", when(1_800_000_000_000), 1_234_567, f"held by {name}")
        for name in NAMES
    ]
    lines = list(table.terminal_lines(head, rows, columns, lambda word, text: text))
    plain = [re.sub("\x1b\\[[0-9]*m", "", line) for line in lines]
    assert max(map(width, plain)) <= columns or columns < 40
    together = "".join("".join(plain).split())
    # each name is written three times, in however many parts
    missing = Counter("".join(NAMES * 3).replace(" ", "")) - Counter(together)
    assert not missing
    assert together.count("1,234,567") == len(NAMES)


def test_an_emoji_is_never_cut() -> None:
    assert table.folded("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", 4) == ["👨‍👩‍👧👨‍👩‍👧", "👨‍👩‍👧"]
    assert table.folded("🇯🇵🇧🇷", 2) == ["🇯🇵", "🇧🇷"]
    assert table.folded("🇯🇵🇧🇷", 1) == ["🇯🇵", "🇧🇷"]
    assert table.folded("éé", 1) == ["é", "é"]


def terminal(head: Sequence[str], rows: Sequence[Sequence[object]], columns: int) -> list[str]:
    painted = table.terminal_lines(head, rows, columns, lambda word, text: f"<{text}>")
    return [line.replace("\x1b[1m", "*").replace("\x1b[0m", "*") for line in painted]


def test_states_are_coloured_and_empty_columns_left_out() -> None:
    head = ("source", "state", "due", "rows")
    rows = [("campaign:a", "ACTIVE", None, 7), ("canvas:漢字", "EXPIRED", None, 1_200)]
    assert terminal(head, rows, 80) == [
        "*source       state     rows*",
        "campaign:a   <ACTIVE>       7",
        "canvas:漢字  <EXPIRED>  1,200",
    ]
    # what is piped has every column, so that its columns can be counted
    assert next(table.lines(head, rows)) == "source       state    due   rows"
    assert terminal(head, [], 80) == ["*source  state  due  rows*"]


def test_long_ids_are_cut_only_if_there_is_no_room() -> None:
    rows = [(UUID, "Spring", "ACTIVE")]
    assert UUID in terminal(("source", "name", "state"), rows, 80)[1]
    assert terminal(("source", "name", "state"), rows, 50) == [
        "*source              name    state*",
        "campaign:6f1c1fd0…  Spring  <ACTIVE>",
    ]
    assert UUID in list(table.lines(("source", "name", "state"), rows))[1]


def test_a_row_that_does_not_fit_at_all_is_a_block() -> None:
    head = ("time", "source", "decision", "from", "to", "by", "reason", "detail")
    row = (when(0), "campaign:a", "expired", "STOPPED", "EXPIRED", "", "retention", "3 months ago")
    assert terminal(head, [row], 40) == [
        "*1970-01-01 00:00:00Z*",
        "  source    campaign:a",
        "  decision  expired",
        "  from      <STOPPED>",
        "  to        <EXPIRED>",
        "  reason    retention",
        "  detail    3 months ago",
    ]


@pytest.mark.parametrize("columns", [40, 60, 70, 80])
def test_words_that_people_copy_are_not_cut(columns: int) -> None:
    name = "clicked_alias_in_canvas_step"
    row = (name, "canvas, step, alias?", "clicked the link of that alias", "everybody_else")
    painted = table.terminal_lines(
        ("filter", "arguments", "true", "false"), [row], columns, lambda w, text: text, copied=1
    )
    plain = [re.sub("\x1b\\[[0-9]*m", "", line) for line in painted]
    assert sum(name in line for line in plain) == 1
    assert max(map(width, plain)) <= columns


def test_nothing_foreign_acts_in_a_cell() -> None:
    for line in table.terminal_lines(("name",), [("\x1b[2J\n\u202e",)], 80, lambda w, t: t):
        assert "\x1b[2J" not in line
        assert "\n" not in line
    assert shown("a\u200db") == "a\u200db"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_960, "1.0 MB"), (36_000_000, "36.0 MB"),
     (1_200_000_000_000, "1.2 TB"), (10**19, "10,000.0 PB")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (9.99, "10.0 s"), (59.4, "59 s"), (60, "1 minute"), (125, "2 minutes 5 s"),
     (3_600, "1 hour"), (7_260, "2 hours 1 minute"), (86_400 * 2 + 3_600, "2 days 1 hour"),
     (-1, "0.0 s")],
)  # fmt: skip
def test_periods(seconds: float, text: str) -> None:
    assert period(seconds) == text


def test_dates_are_as_exact_as_they_are_near() -> None:
    now = 1_800_000_000_000
    assert day(now + 20_000, now) == "2027-01-15 08:00:20Z"
    assert day(now + 7_200_000, now) == "2027-01-15 10:00Z"
    assert day(now + 90 * 86_400_000, now) == "2027-04-15"
