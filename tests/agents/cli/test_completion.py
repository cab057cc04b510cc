"""Completion: what a shell asks for, and what it gets; quick and silent if no worker answers."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import main
from schemas.records.lifecycle import SourceState, State
from streams.settings import Settings
from tests.rigs.site import Site, alone, serving

__all__ = ["alone"]

SOURCES = (
    SourceState("campaign:spring", State.EXPIRED, 1, name="春のキャンペーン", tags=("2026", "vip")),
    SourceState("campaign:summer", State.ACTIVE, 1, name="Sommer 🌞", tags=("2027",)),
    SourceState("canvas:spring", State.ACTIVE, 1, name="Welcome"),
    SourceState("campaign:evil", State.ACTIVE, 1, name="x\n$(reboot)", tags=("\x1b[2J",)),
)


def completed(line: str, env: Mapping[str, str]) -> tuple[list[str], str]:
    words = line.split(" ")
    asked = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_EMBERLINE_COMPLETE": "bash_complete",
    }
    result = CliRunner().invoke(main, [], prog_name="emberline", env={**env, **asked})
    found = [one.partition(",")[2] for one in result.stdout.splitlines() if one]
    return found, result.stderr


async def test_sources_and_tags_are_those_of_the_worker(alone: Settings) -> None:
    async with serving(site := Site(alone, {0}, *SOURCES)):
        port = site.context.address.rpartition(":")[2]

        async def words(line: str) -> list[str]:
            found, said = await asyncio.to_thread(completed, line, {"EMBERLINE_HTTP_PORT": port})
            assert said == ""
            return found

        assert await words("emberline restore campaign:s") == ["campaign:spring", "campaign:summer"]
        assert await words("emberline explain spr") == ["campaign:spring", "canvas:spring"]
        assert await words("emberline hold 春") == ["campaign:spring"]
        assert await words("emberline restore --tag 202") == ["2026", "2027"]
        # what a name has in it does not reach the shell
        assert await words("emberline hold campaign:evil") == []
        elsewhere = f"emberline --http-port {port} hold campaign:spring"
        found, _ = await asyncio.to_thread(completed, elsewhere, {"EMBERLINE_HTTP_PORT": "1"})
        assert found == ["campaign:spring"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("emberline res", ["resume", "restore", "restores"]),
        ("emberline topics c", ["create", "check"]),
        ("emberline status --state exp", ["expiring", "expired"]),
        ("emberline completion z", ["zsh"]),
        ("emberline restore campaign:", []),
    ],
)
def test_without_a_worker_words_of_the_program_are_completed(line: str, words: list[str]) -> None:
    began = time.monotonic()
    found, said = completed(line, {"EMBERLINE_HTTP_PORT": "1"})
    assert {one.lower() for one in found} == set(words)
    assert said == ""
    assert time.monotonic() - began < 5


def test_commands_are_completed_without_importing_any() -> None:
    program = (
        "import sys\n"
        "from agents.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print([m for m in sys.modules if m.startswith('agents.cli.s')])"
    )
    asked = {"COMP_WORDS": "emberline st", "COMP_CWORD": "1", "__C_COMPLETE": "bash_complete"}
    child = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | asked,
    )
    assert child.stdout.splitlines() == ["plain,status", "[]"]


def test_bash_completes_a_word_with_a_colon(tmp_path: Path) -> None:
    """With the functions of the shell itself, and a program that answers for emberline."""
    (tmp_path / "emberline").write_text(
        '#!/bin/sh\necho "$COMP_WORDS|$COMP_CWORD" >>"$0.asked"\n'
        'echo plain,campaign:spring\necho "plain,campaign:sp rite"\n'
    )
    (tmp_path / "emberline").chmod(0o755)
    program = CliRunner().invoke(main, ["completion", "bash"]).stdout
    line = "emberline hold campaign:sp"
    script = f"""{program}
COMP_LINE='{line}' COMP_POINT={len(line)}
_emberline_completion {tmp_path}/emberline
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    assert ran.stdout.splitlines() == ["spring", "sp\\ rite"]
    assert (tmp_path / "emberline.asked").read_text() == f"{line}|2\n"


def replies(folder: Path, line: str, words: str) -> tuple[list[str], str]:
    """What bash gets for a line if emberline answers with `words`, and the number of the word."""
    (folder / "emberline").write_text(
        f'#!/bin/sh\necho "$COMP_CWORD" >"$0.asked"\ncat <<\'EOF\'\n{words}\nEOF\n'
    )
    (folder / "emberline").chmod(0o755)
    program = CliRunner().invoke(main, ["completion", "bash"]).stdout
    script = f"""{program}
COMP_LINE="$1" COMP_POINT=${{#1}}
_emberline_completion {folder}/emberline
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    ran = subprocess.run(
        ["bash", "-c", script, "bash", line], capture_output=True, text=True, timeout=30
    )
    return ran.stdout.splitlines(), (folder / "emberline.asked").read_text().strip()


@pytest.mark.parametrize(
    ("line", "number", "found"),
    [
        ('emberline restore --tag "a b" campaign:sp', "4", r"sp\ rite"),
        (r"emberline restore --reason it\'s\ late campaign:sp", "4", r"sp\ rite"),
        ('emberline restore --reason "at 9:00" ', "4", r"campaign:sp\ rite"),
        # bash keeps the quote that is open
        ('emberline restore "campaign:sp', "2", "campaign:sp rite"),
        ("emberline restore 'campaign:sp ri", "2", "campaign:sp rite"),
    ],
)
def test_bash_counts_words_as_it_reads_them(
    tmp_path: Path, line: str, number: str, found: str
) -> None:
    """With another number another word is completed, and what was typed is replaced by it."""
    assert replies(tmp_path, line, "plain,campaign:sp rite") == ([found], number)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ('"', r"""\$(touch \`x\`) \"o'neil\" \\b"""),
        ("'", r"""$(touch `x`) "o'\''neil" \b"""),
    ],
)
def test_bash_puts_a_word_within_the_quote_that_is_open(
    tmp_path: Path, quote: str, found: str
) -> None:
    words = r"""plain,$(touch `x`) "o'neil" \b"""
    assert replies(tmp_path, f"emberline restore --tag {quote}", words) == ([found], "3")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_program(shell: str) -> None:
    assert "_EMBERLINE_COMPLETE" in CliRunner().invoke(main, ["completion", shell]).stdout
