"""The output of commands: by one function, in whole lines, as wide as the terminal."""

import io
import json
import re
import sys
from pathlib import Path

import aiohttp
import pytest

from agents import cli
from agents.scatter.trouble import trouble
from agents.terminal import table
from agents.terminal.say import emit, live, say, stdout
from agents.tools import demo
from schemas.words.shown import width

EVIL = "\x1b[2J\x9b31m\n\u202eend\x07"
FOLDERS = [Path(package.__path__[0]) for package in (cli, demo)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_there_is_one_way_to_print(folder: Path) -> None:
    other = re.compile(r"click\.(echo|secho)|\bprint\(|std(out|err)\.(write|buffer)")
    found = [
        f"{file.name}: {line.strip()}"
        for file in folder.glob("*.py")
        if file.name != "say.py"
        for line in file.read_text().splitlines()
        if other.search(line)
    ]
    assert found == []


def test_nothing_of_others_reaches_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    say(EVIL, err=True)
    emit({"name": EVIL})
    table.show(("name", EVIL), [(EVIL, EVIL)])
    live(EVIL)
    found = capsys.readouterr()
    for text in (found.out.replace("\r", ""), found.err):
        assert not set("\x1b\x9b\u202e\x07") & set(text)
    lines = found.out.replace("\r", "").splitlines()
    assert lines[0] == r"\x1b[2J\x9b31m\n\u202eend\x07"
    assert json.loads(lines[1]) == {"name": EVIL}
    assert len(lines) == 5


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_rows_are_exact_for_programs_and_harmless_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    row = json.dumps({"user": EVIL + "é漢"}, ensure_ascii=False)
    data = f"{row}\n{row}\n".encode()

    class Screen(io.TextIOWrapper):
        terminal = False

        def isatty(self) -> bool:
            return self.terminal

    for terminal in (False, True):
        screen = Screen(io.BytesIO(), encoding="utf-8")
        screen.terminal = terminal
        monkeypatch.setattr(sys, "stdout", screen)
        sink = stdout()
        for at in range(0, len(data), piece):
            sink.write(data[at : at + piece])
        sink.flush()
        written = screen.buffer.getvalue()  # type: ignore[attr-defined]
        assert (written == data) is not terminal
        assert [json.loads(line) for line in written.decode().splitlines()] == [json.loads(row)] * 2
        if terminal:
            assert not set("\x9b\u202e") & set(written.decode())


def test_a_table_is_as_wide_as_its_content_or_the_terminal() -> None:
    why = "received_from_campaign of canvas:welcome through segment:lapsed-customers"
    head = ("source", "name", "rows", "why")
    rows = [("campaign:a", "漢" * 30, 1_234_567, why), ("campaign:b", None, 1, "x" * 90)]
    whole = list(table.lines(head, rows))
    assert len(whole) == 3
    assert len({width(line[: line.index(why)]) for line in whole[1:2]}) == 1
    narrow = list(table.lines(head, rows, 80))
    assert max(map(width, narrow)) <= 80
    text = " ".join(" ".join(line.split()) for line in narrow)
    assert "1,234,567" in text
    assert "".join(narrow).replace(" ", "").count("漢") == 30
    assert "".join(narrow).count("x") == 90
    assert list(table.lines(head, [], 10)) == ["source  name  rows  why"]


def test_folding_keeps_every_word() -> None:
    assert table.folded("one two three", 7) == ["one two", "three"]
    assert table.folded("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert table.folded("漢字漢", 4) == ["漢字", "漢"]
    assert table.folded("   indented", 20) == ["   indented"]
    assert table.folded("漢", 1) == ["漢"]


def test_the_error_of_a_failed_call_has_no_names_of_a_library() -> None:
    key = None
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "Connect call failed"))  # type: ignore[arg-type]
    errors = {
        refused: "it cannot be reached: connection refused",
        aiohttp.ServerDisconnectedError(): "its answer is incomplete",
        aiohttp.ClientPayloadError("x"): "its answer is incomplete",
        aiohttp.ServerTimeoutError(): "it does not answer in time",
        TimeoutError(): "it does not answer in time",
        ConnectionResetError(104, "reset"): "the connection was closed",
        aiohttp.InvalidURL("x"): "its address is none",
        ValueError("garbage"): "its answer makes no sense",
    }
    assert {error: trouble(error) for error in errors} == errors


@pytest.mark.parametrize("ms", [1 << 62, -(1 << 62), 253_402_300_800_000])
def test_a_time_that_no_calendar_has_is_a_number(ms: int) -> None:
    """The writer of a record chooses its time: a record of the year 100,000 made every list
    fail.
    """
    assert table.when(ms) == f"{ms} ms"


def test_one_long_name_does_not_make_every_row_as_long() -> None:
    rows = [("campaign:a", "n" * 900_000), *((f"campaign:{n}", "n") for n in range(1_000))]
    printed = list(table.lines(("source", "name", "state"), [(*row, "ACTIVE") for row in rows]))
    assert sum(map(len, printed)) < 3_000_000
    folded = list(table.lines(("source", "name"), rows, columns=80))
    assert max(map(len, folded)) <= 80
