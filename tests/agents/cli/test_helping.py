"""`emberline help`: the pages of the reference, and the help of commands."""

import json

import pytest
from click.testing import CliRunner, Result

from agents.cli import main
from agents.reference import pages


def said(*args: str) -> Result:
    return CliRunner().invoke(main, ["help", *args], prog_name="emberline")


@pytest.mark.parametrize("topic", pages.NAMES)
def test_every_topic_has_a_page(topic: str) -> None:
    page = pages.page(topic)
    shown = said(topic)
    assert shown.exit_code == 0
    assert shown.stdout.startswith(page.title)
    assert "`" not in shown.stdout
    assert json.loads(said(topic, "--json").stdout)["title"] == page.title


def test_the_topics_are_listed() -> None:
    listed = said().stdout
    assert all(f"\n{name} " in f"\n{listed}" for name in pages.NAMES)
    assert set(json.loads(said("--json").stdout)["topics"]) == set(pages.NAMES)


def test_a_command_is_a_topic_too() -> None:
    assert "Usage: emberline topics tail" in said("topics", "tail").stdout
    wrong = said("filtres")
    assert wrong.exit_code == 2
    assert "Did you mean filters?" in wrong.stderr
